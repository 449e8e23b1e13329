import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { initialise, startServer } from '#src/app.ts'
import { createGuard, type Shown } from '#src/broker-auth/guard.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { createHookListener } from '#src/http/broker-hooks.ts'
import { createInFlight } from '#src/http/in-flight.ts'
import { listen } from '#src/http/listen.ts'
import { readAnchors } from '#src/identity/certificate/read-anchors.ts'
import { createCertificates, type Identity } from '../support/certificates.ts'
import { testDatabase } from '../support/database.ts'
import { POLICY } from './hook-harness.ts'

const secret = new Secret(Buffer.from('a-secret-of-the-broker'))
const shown = (more: Partial<Shown> = {}): Shown => ({
  inPath: undefined,
  inQuery: undefined,
  headers: {},
  peer: { remoteAddress: '127.0.0.1' },
  ...more,
})
const now = () => Date.now()

test('the first place with a secret counts: a right one elsewhere does not make up for it', () => {
  const guard = createGuard({ secret, addresses: undefined, mutualTls: undefined }, now)
  const right = 'a-secret-of-the-broker'
  assert.equal(guard(shown({ inPath: right })), 'admitted')
  assert.equal(guard(shown({ inPath: 'wrong', inQuery: right })), 'stranger')
  assert.equal(guard(shown({ inQuery: '', headers: { 'x-hook-secret': right } })), 'stranger')
  assert.equal(guard(shown({ headers: { 'x-hook-secret': right, authorization: 'Bearer a.user.token' } })), 'admitted')
  assert.equal(guard(shown({ headers: { authorization: `bearer ${right}` } })), 'authorization')
  assert.equal(guard(shown({ headers: { authorization: right } })), 'stranger')
  assert.equal(guard(shown({ headers: { 'x-hook-secret': [right, right] } })), 'stranger')
  assert.equal(guard(shown()), 'stranger')
})

test('addresses are those of the connection; what came through a proxy is a stranger', () => {
  const guard = createGuard({ secret: undefined, addresses: ['10.0.0.0/8', '::1/128'], mutualTls: undefined }, now)
  const from = (remoteAddress: string | undefined, headers: Shown['headers'] = {}) =>
    guard(shown({ peer: { remoteAddress }, headers }))
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '::1']) assert.equal(from(address), 'admitted', address)
  for (const address of ['11.0.0.1', '::2', '', undefined, 'localhost'])
    assert.equal(from(address), 'stranger', String(address))
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip'])
    assert.equal(from('10.1.2.3', { [name]: '10.1.2.3' }), 'stranger', name)
  assert.equal(
    guard(shown({ inPath: 'x', peer: { remoteAddress: '10.1.2.3' } })),
    'stranger',
    'no secret is configured',
  )
})

test('a page in a browser is no broker, however near it runs and whatever it knows', () => {
  const inPath = 'a-secret-of-the-broker'
  const near = createGuard({ secret: undefined, addresses: ['127.0.0.0/8'], mutualTls: undefined }, now)
  const withSecret = createGuard({ secret, addresses: undefined, mutualTls: undefined }, now)
  assert.equal(near(shown()), 'admitted')
  assert.equal(near(shown({ headers: { origin: 'https://page.example' } })), 'stranger')
  assert.equal(withSecret(shown({ inPath, headers: { origin: 'null' } })), 'stranger')
  for (const site of ['cross-site', 'same-site', 'none'])
    assert.equal(near(shown({ headers: { 'sec-fetch-site': site } })), 'stranger', 'an image, a link')
})

test('all that is configured must hold', () => {
  const guard = createGuard({ secret, addresses: ['10.0.0.0/8'], mutualTls: undefined }, now)
  const inPath = 'a-secret-of-the-broker'
  assert.equal(guard(shown({ inPath, peer: { remoteAddress: '10.0.0.1' } })), 'admitted')
  assert.equal(guard(shown({ inPath, peer: { remoteAddress: '11.0.0.1' } })), 'stranger')
  assert.equal(guard(shown({ peer: { remoteAddress: '10.0.0.1' } })), 'stranger')
})

/** Whether each connection of a test went on with a session of an earlier one. */
const resumed: boolean[] = []

async function askOver(port: number, ca: string, client: Identity | undefined, agentOptions = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const identity = client && { cert: client.certificate, key: client.key }
  const req = httpsRequest(
    { host: '127.0.0.1', port, path: '/mqtt/user', method: 'POST', ca, ...identity, ...agentOptions },
    (res) => {
      res.resume()
      resumed.push((res.socket as TLSSocket).isSessionReused())
      res.on('end', () => resolve(String(res.statusCode)))
    },
  )
  req.on('error', reject)
  req.end()
  return await promise
}

async function serveTls(t: TestContext, names: readonly string[]) {
  const certificates = await createCertificates()
  const ca = await readFile(certificates.caFile, 'utf8')
  const read = readAnchors(ca)
  assert.ok('certificates' in read, JSON.stringify(read))
  const guard = createGuard(
    { secret: undefined, addresses: undefined, mutualTls: { anchors: read.certificates, names } },
    now,
  )
  const reply = (status: number) => ({ status, headers: {}, body: '' })
  const listener = createHookListener(
    {
      clientAuthorities: [ca],
      open: ({ headers, socket }) =>
        guard({ inPath: undefined, inQuery: undefined, headers, peer: socket }) === 'stranger'
          ? reply(401)
          : { share: { underWay: 0 }, answer: () => reply(200), refuse: () => reply(503) },
    },
    createInFlight(),
  )
  const { certificateFile: certFile, keyFile } = certificates.server
  const server = await listen({ host: '127.0.0.1', port: 0, certFile, keyFile, clientAuthorities: [ca] }, listener)
  t.after(async () => {
    await server.close()
    await certificates.remove()
  })
  return { certificates, ca, port: server.port }
}

test('mutual TLS: a certificate of the CA with a name of the list is the broker; every other one is a stranger', async (t) => {
  const { certificates, ca, port } = await serveTls(t, ['device-1'])
  const table = [
    ['its client', certificates.client, '200'],
    ['nobody', undefined, '401'],
    ['of another CA', certificates.foreignClient, '401'],
    ['expired', certificates.expiredClient, '401'],
    ['a server', certificates.wrongName, '401'],
    ['its own, but no CA', certificates.selfSigned, '401'],
  ] as const
  for (const [what, client, status] of table)
    assert.equal(await askOver(port, ca, client, { agent: false }), status, what)
})

test('mutual TLS: a name that is not in the list is none of ours, whatever it begins with', async (t) => {
  const { certificates, ca, port } = await serveTls(t, ['device', 'device-10', 'DEVICE-1'])
  assert.equal(await askOver(port, ca, certificates.client, { agent: false }), '401')
})

test('mutual TLS: a resumed connection is judged by the certificate of its first one', async (t) => {
  const { certificates, ca, port } = await serveTls(t, ['device-1'])
  const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 })
  for (let i = 0; i < 3; i++) assert.equal(await askOver(port, ca, certificates.client, { agent }), '200')
  assert.ok(resumed.at(-1), 'no session was resumed')
  const foreign = new Agent({ keepAlive: false, maxCachedSessions: 10 })
  for (let i = 0; i < 3; i++) assert.equal(await askOver(port, ca, undefined, { agent: foreign }), '401')
})

test('the whole server: a hook with mutual TLS makes the listener ask for certificates, and callers of the API need none', async (t) => {
  const certificates = await createCertificates()
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-mutual-'))
  const database = await testDatabase()
  const file = path.join(folder, 'hooks.json')
  const env = {
    DATABASE_URL: database.url,
    DATA_DIR: folder,
    PORT: '0',
    TLS_CERT_FILE: certificates.server.certificateFile,
    TLS_KEY_FILE: certificates.server.keyFile,
  }
  let server: Awaited<ReturnType<typeof startServer>> | undefined
  t.after(async () => {
    await server?.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
    await certificates.remove()
  })
  const first = await initialise(parseConfig(env), { log: silentLog })
  const section = {
    name: 'default',
    dialect: 'go-auth',
    mutual_tls: { ca_file: certificates.caFile, names: ['device-1'] },
    tenant: first?.tenantId,
    policy: POLICY,
    providers: ['anyone'],
  }
  const hooks = { version: 1, providers: { anyone: { type: 'anonymous' } }, hooks: [section] }
  await writeFile(file, JSON.stringify(hooks))
  server = await startServer(parseConfig({ ...env, BROKER_AUTH_CONFIG: file }), { log: silentLog })
  const port = Number(new URL(server.url).port)
  const ca = await readFile(certificates.caFile, 'utf8')
  const ask = (client: Identity | undefined, target = '/mqtt/user') =>
    askOver(port, ca, client, { agent: false, path: target })
  assert.equal(await ask(certificates.client), '403', 'the broker; the policy is none, which denies')
  assert.equal(await ask(undefined), '401')
  assert.equal(await ask(certificates.foreignClient), '401')
  assert.equal(await ask(undefined, '/api/v2/integrations'), '401', 'without an API key')
})
