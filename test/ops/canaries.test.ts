import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Sealwire } from '#src/sdk/index.ts'
import { testDatabase } from '#test/support/database.ts'
import { dumpTables, findSecret } from '#test/support/find-secret.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { startServerProcess } from '#test/support/server-process.ts'

/** Planted wherever a secret can come in; each may come out only in the answer that is asked for it. */
const canaries = {
  password: 'canary-password-5e0b21',
  privateKey: 'canary-private-key-91c7d4',
  payload: 'canary-payload-2f6a08',
  object: 'canary-object-c34e77',
  wrongApiKey: 'canary-api-key-77a1f3',
  metricsToken: 'canary-metrics-token-b8e4',
}

const pem = `-----BEGIN PRIVATE KEY-----\n${canaries.privateKey}\n-----END PRIVATE KEY-----\n`
const certificate = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

/** A server process with a database and a broker of its own, and everything that it says. */
async function startWatched(stack: AsyncDisposableStack) {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'sealwire-canaries-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const database = stack.adopt(await testDatabase(), (one) => one.drop())
  const broker = stack.adopt(await startMosquitto({ users: { sealwire: canaries.password } }), (one) => one.stop())
  const output: string[] = []
  const env = {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    LOG_LEVEL: 'trace',
    METRICS_TOKEN: canaries.metricsToken,
  }
  const { url, child } = await startServerProcess(env, (text) => void output.push(text))
  const stop = async () => {
    if (child.exitCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }
  stack.defer(stop)
  const ownerKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  return { url, dataDir, databaseUrl: database.url, port: broker.ports.tcp, output, ownerKey, stop }
}

test('no secret leaves the server but where it is asked for: output, answers, errors, metrics, rows, files', async () => {
  await using stack = new AsyncDisposableStack()
  const server = await startWatched(stack)
  const answers: string[] = []

  async function call(
    method: string,
    target: string,
    body?: unknown,
    { headers = {}, handsOut = false }: { headers?: Record<string, string>; handsOut?: boolean } = {},
    // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
  ): Promise<any> {
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const type = body === undefined ? {} : { 'content-type': 'application/json' }
    const all = { 'x-api-key': server.ownerKey, ...type, ...headers }
    const res = await fetch(server.url + target, { method, headers: all, ...sent })
    const text = await res.text()
    if (!handsOut) answers.push(text, inspect(res.headers))
    return /json/.test(res.headers.get('content-type') ?? '') ? JSON.parse(text) : text
  }
  const watchedFetch: typeof fetch = async (input, init) => {
    const res = await fetch(input, init)
    answers.push(await res.clone().text())
    return res
  }
  const handsOut = { handsOut: true }

  const values = { hostname: '127.0.0.1', port: server.port, username: 'sealwire', password: canaries.password }
  const withKey = { ...values, client_cert: certificate, client_key: pem }
  const seal = (sealed: unknown) => ({ credential_type: 'custom_kv', values: sealed })
  const integrate = (credentialId: string) => ({
    name: 'x',
    system_type: 'mqtt',
    credential_id: credentialId,
    allowed_operations: ['publish', 'subscribe'],
    config: { topic: 'a' },
  })

  const { data: credential } = await call('POST', '/api/v2/vault/seal', seal(values))
  const { data: keyed } = await call('POST', '/api/v2/vault/seal', seal(withKey))
  const split = await call('POST', '/api/v2/vault/seal', seal(values), {
    headers: { 'x-vault-enable-mpc': 'true' },
    ...handsOut,
  })
  const custodyKey: string = split.data.custody_key
  assert.equal(Buffer.from(custodyKey, 'base64url').length, 32)
  const { data: integration } = await call('POST', '/api/v2/integrations', integrate(credential.id))
  const { data: broken } = await call('POST', '/api/v2/integrations', integrate(keyed.id))
  const { data: locked } = await call('POST', '/api/v2/integrations', integrate(split.data.id))
  const created = await call('POST', '/api/v2/security/api-keys', { name: 'k', role: 'editor' }, handsOut)
  const editorKey: string = created.data.secret

  const sdk = new Sealwire({ baseUrl: server.url, apiKey: editorKey, fetch: watchedFetch })
  const recipient = await sdk.recipients.enroll({ name: 'device' })
  const reader = new Sealwire({ baseUrl: server.url, apiKey: editorKey, recipient, fetch: watchedFetch })
  const { result } = await reader.proxy.publish({ integrationId: integration.id, message: canaries.payload })
  assert.equal(result.outcome, 'acknowledged')

  const publish = (id: string, message: unknown) => ({ integration_id: id, operation: 'publish', payload: { message } })
  const outbound = '/api/v2/proxy/outbound'
  const idempotent = { headers: { 'idempotency-key': 'attempt-1' } }
  await call('POST', outbound, publish(integration.id, canaries.payload), idempotent)
  await call('POST', outbound, publish(integration.id, { deep: canaries.payload }))
  await call('POST', outbound, publish(integration.id, canaries.payload), { headers: { 'envelope-nonce': 'short' } })
  await call('POST', outbound, publish('int_none', canaries.payload))
  await call('POST', outbound, publish(broken.id, canaries.payload))
  await call('POST', outbound, publish(locked.id, canaries.payload))
  const unlocked = await call('POST', `/api/v2/integrations/${locked.id}/unlock`, { custody_key: custodyKey })
  const published = await call('POST', outbound, publish(locked.id, canaries.payload))
  assert.deepEqual([unlocked.success, published.success], [true, true])
  await call('POST', `/api/v2/integrations/${locked.id}/unlock`, { custody_key: `${custodyKey}AA` })
  for (const { id } of [integration, broken, locked]) await call('POST', `/api/v2/integrations/${id}/test`)

  const encrypted = await call('POST', '/api/v2/encryption/encrypt', { data: canaries.object })
  await call('POST', '/api/v2/encryption/sign', { data: canaries.object })
  await call('POST', '/api/v2/encryption/verify', { data: canaries.object, signature: {} })
  const { envelope } = encrypted.data
  const wrongContext = { envelope, encryption_context: { a: 'b' } }
  await call('POST', '/api/v2/encryption/decrypt', wrongContext)

  // what a validator, a parser or a router may quote
  const sealing = '/api/v2/vault/seal'
  await call('POST', sealing, {
    ...seal({ password: canaries.password, port: { deep: canaries.privateKey } }),
    ttl_days: 0,
  })
  await call('POST', sealing, { credential_type: canaries.password, values })
  await call('POST', sealing, `{"credential_type":"custom_kv","values":{"password":"${canaries.password}"`)
  await call('POST', sealing, `{"password":"${canaries.password}","password":"${canaries.password}"}`)
  await call('POST', `/api/v2/vault/rotate/${keyed.id}`, { values: withKey })
  await call('PATCH', `/api/v2/integrations/${integration.id}`, { password: canaries.password })
  await call('PUT', sealing, seal(values))
  await call('POST', '/api/v2/none', seal(values))
  for (const key of [`qs_live_${canaries.wrongApiKey}`, canaries.wrongApiKey, `${server.ownerKey}x`])
    await call('GET', '/api/v2/integrations', undefined, { headers: { 'x-api-key': key } })
  const custodyHeader = { headers: { 'x-vault-custody-key': custodyKey } }
  await call('POST', `/api/v2/vault/rotate/${split.data.id}`, {}, custodyHeader)
  await call('GET', '/api/v2/vault/entries', undefined, custodyHeader)

  for (const target of ['vault/entries', `vault/entries/${keyed.id}/versions`, 'integrations', 'recipients'])
    await call('GET', `/api/v2/${target}`)
  for (const target of ['security/api-keys', 'security/keys', 'audit/logs']) await call('GET', `/api/v2/${target}`)
  for (const target of ['/health', '/health/ready', '/.well-known/sealwire-keys']) await call('GET', target)
  const bearer = { headers: { authorization: `Bearer ${canaries.metricsToken}` } }
  const metrics: string = await call('GET', '/metrics', undefined, bearer)
  await call('GET', '/metrics', undefined, { headers: { authorization: 'Bearer wrong' } })

  const unsealed = await call('POST', `/api/v2/vault/unseal/${keyed.id}`, undefined, handsOut)
  const opened = await call('POST', '/api/v2/encryption/decrypt', { envelope }, handsOut)
  const { tables, rows, audit, control } = await dumpTables(server.databaseUrl, canaries.password)
  await server.stop()
  const files = (await readdir(server.dataDir, { recursive: true, withFileTypes: true })).filter((file) =>
    file.isFile(),
  )
  const written = await Promise.all(
    files
      .filter(({ name }) => name !== 'owner-api-key')
      .map(({ parentPath, name }) => readFile(path.join(parentPath, name), 'latin1')),
  )

  const secrets: [name: string, secret: string | Uint8Array][] = [
    ...Object.entries(canaries),
    ['the API key of the owner', server.ownerKey.slice(40)],
    ['another API key', editorKey.slice(40)],
    ['the KEM seed of a client', recipient.kemSeed.reveal()],
    ['the MAC key of a client', recipient.macKey.reveal()],
    ['the custody key', new Uint8Array(Buffer.from(custodyKey, 'base64url'))],
  ]
  const places = {
    output: [server.output.join('')],
    answers,
    'rows of the database': rows,
    'audit rows': audit,
    files: written,
  }
  for (const [place, texts] of Object.entries(places)) {
    assert.ok(texts.length > 0, `${place}: nothing was searched`)
    for (const [name, secret] of secrets) {
      assert.ok(secret.length >= 16, `${name} is too short to be told from chance`)
      for (const text of texts) assert.equal(findSecret(text, secret), undefined, `${name} in ${place}`)
    }
  }

  assert.ok(tables >= 9 && audit.length > 20 && answers.length > 60, 'less was done than this test says')
  assert.match(metrics, /^# TYPE /m)
  assert.match(server.output.join(''), /"listening"/)
  assert.match(findSecret(control, canaries.password) ?? '', /^hexadecimal/, 'the search sees into bytea')
  for (const by of ['', 'x', 'xx']) {
    const wrapped = Buffer.from(`${by}${canaries.password}yyy`).toString('base64url')
    assert.match(findSecret(wrapped, canaries.password) ?? '', /^base64/)
  }
  assert.equal(unsealed.data.values.client_key, pem, 'the twin: unseal gives it')
  assert.equal(Buffer.from(opened.data.plaintext.data, 'base64').toString(), canaries.object, 'and decrypt')
})
