import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { parseRecipient, Sealwire, type SealwireError } from '#src/sdk/index.ts'
import { runCli } from '#test/support/cli.ts'
import { PASSWORD, startPlant } from '#test/support/plant.ts'
import { startResponder } from '#test/support/responder.ts'
import { failureOf } from '#test/support/sdk-calls.ts'

const plant = await startPlant()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
after(async () => {
  await plant.close()
  await rm(folder, { recursive: true })
})

const recipientFile = path.join(folder, 'recipient.json')
const env = { SEALWIRE_URL: plant.api.url, SEALWIRE_API_KEY: plant.api.ownerKey, SEALWIRE_RECIPIENT: recipientFile }
const sealwire = (...args: string[]) => runCli(args, { env })

test('the command line enrols, subscribes, publishes and opens against the server and a real broker', async () => {
  const enrolled = await sealwire('recipients', 'enroll', '--out', recipientFile)
  assert.equal(enrolled.code, 0, enrolled.err)

  const collecting = sealwire('subscribe', plant.integrationId, '-t', 'sensors/#', '-n', '1', '-w', '20000')
  await plant.broker.logged('SUBACK')
  const published = await sealwire('publish', plant.integrationId, '-m', '22.5', '-q', '1', '--json')
  assert.equal(published.code, 0, published.err)
  const gathered = await collecting
  assert.equal(gathered.out, 'sensors/temperature 22.5', gathered.err)

  const opened = await runCli(['envelope', 'open', '-'], { env, stdin: utf8(published.out) })
  assert.equal(opened.code, 0, opened.err)
  const { answer, result } = { answer: JSON.parse(opened.out), result: JSON.parse(published.out).result }
  assert.deepEqual([answer.data.outcome, answer.data.message_id], ['acknowledged', result.messageId])
})

test('a topic outside the allow list exits 1, and its twin inside exits 0', async () => {
  const denied = await sealwire('publish', plant.integrationId, '-t', 'actuators/door', '-m', 'open')
  assert.equal(denied.code, 1)
  assert.match(denied.err, /^error: policy\.denied/)
  assert.equal((await sealwire('publish', plant.integrationId, '-t', 'sensors/door', '-m', 'open')).code, 0)
})

test('a batch is published through the server: what is allowed goes out, what is not is named, in one sealed answer', async () => {
  const batch = (lines: string) =>
    runCli(['publish', plant.integrationId, '-t', 'sensors/batch', '-q', '1', '--batch', '-'], {
      env,
      stdin: utf8(lines),
    })
  const collecting = sealwire('subscribe', plant.integrationId, '-t', 'sensors/batch', '-n', '2', '-w', '20000')
  await plant.broker.logged('sensors/batch (QoS') // the broker logs what was asked for
  const partial = await batch('{"message": "1"}\n{"topic": "actuators/door", "message": "open"}\n{"message": "2"}\n')
  assert.equal(partial.code, 1, partial.err)
  assert.deepEqual(
    partial.out.split('\n').map((line) => line.split('  ').slice(0, 2)),
    [
      ['0', 'acknowledged'],
      ['1', 'denied'],
      ['2', 'acknowledged'],
    ],
  )
  assert.match(partial.err, /^partial: 2 acknowledged, 1 denied$/)
  assert.equal((await collecting).out, 'sensors/batch 1\nsensors/batch 2')
  const refused = await batch('{"topic": "actuators/door", "message": "open"}\n{"topic": "x", "message": ""}\n')
  assert.equal(refused.code, 1)
  assert.match(refused.err, /^error: policy\.denied: Of 2 messages none was delivered/)
})

test('a request is published through the server, and prints the reply to it', async () => {
  const login = { username: 'sealwire', password: PASSWORD }
  const responder = await startResponder(
    plant.broker.ports.tcp,
    'sensors/ask',
    login,
    ({ payload }) => `re: ${payload.toString()}`,
  )
  try {
    const to = ['-t', 'sensors/ask', '--response-topic', 'sensors/answer']
    const asked = await sealwire('request', plant.integrationId, ...to, '-m', '?', '-q', '1')
    assert.deepEqual([asked.code, asked.out], [0, 're: ?'], asked.err)
    assert.match(asked.err, /^note: {2}acknowledged {2}msg_/)
  } finally {
    responder.close()
  }
  const own = ['-t', 'sensors/ask', '--response-topic', 'sensors/ask']
  const echo = await sealwire('request', plant.integrationId, ...own, '-m', '?')
  assert.deepEqual([echo.code, echo.out], [1, ''])
  assert.match(echo.err, /response_topic: is the topic of the message/)
})

test('the SDK seals, integrates, tests, changes and removes, and meets the refusals of the server', async () => {
  const recipient = parseRecipient(await readFile(recipientFile, 'utf8'))
  const client = new Sealwire({ baseUrl: plant.api.url, apiKey: plant.api.ownerKey, recipient })
  const values = { hostname: '127.0.0.1', port: plant.broker.ports.tcp, username: 'sealwire', password: 'wrong' }
  const entry = await client.vault.seal({
    name: 'line 4',
    credentialType: 'custom_kv',
    values,
    metadata: { line_no: 4 },
  })
  assert.deepEqual(entry.metadata, { line_no: 4 })
  const integration = await client.integrations.create({
    name: 'line 4',
    systemType: 'mqtt',
    credentialId: entry.id,
    allowedOperations: ['publish'],
    config: { topic: 'sensors/line-4', protocolVersion: 5 },
  })
  const publish = (idempotencyKey: string) =>
    client.proxy.publish({ integrationId: integration.id, message: { speed: 3 } }, { idempotencyKey })

  const refused: SealwireError = await failureOf(publish('first'))
  assert.deepEqual([refused.code, refused.status, refused.outcome], ['broker.rejected', 502, 'rejected'])
  assert.equal((await client.vault.rotate(entry.id, { ...values, password: PASSWORD })).version, 2)
  const { result } = await publish('second')
  assert.equal(result.outcome, 'acknowledged')
  const again = await publish('second')
  assert.deepEqual([again.result.messageId, again.result.replayed], [result.messageId, true])

  const tested = await client.integrations.test(integration.id)
  assert.deepEqual([tested.connected, tested.posture.plaintext], [true, true])
  assert.equal((await failureOf(client.vault.remove(entry.id))).code, 'object.in_use')
  const changed = await client.integrations.update(integration, { name: 'line 5' })
  assert.equal((await failureOf(client.integrations.remove(integration))).code, 'precondition.failed')
  await client.integrations.remove(changed)
  await client.vault.remove(entry.id)
})

test('an API key made on the command line works until it is revoked there', async () => {
  const made = await sealwire('api-keys', 'create', 'line-4', '--role', 'viewer', '--json')
  const { id, secret } = JSON.parse(made.out) as { id: string; secret: string }
  const client = new Sealwire({ baseUrl: plant.api.url, apiKey: secret })
  assert.ok((await client.integrations.list()).length > 0)
  assert.equal((await sealwire('api-keys', 'revoke', id)).code, 0)
  assert.equal((await failureOf(client.integrations.list())).code, 'auth.unauthenticated')
  assert.match((await sealwire('api-keys', 'list')).out, new RegExp(`${id} {2}viewer {2}revoked`))
})
