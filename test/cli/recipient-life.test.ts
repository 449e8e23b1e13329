import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { setTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { parseRecipient, Sealwire } from '#src/sdk/index.ts'
import { runCli } from '#test/support/cli.ts'
import { startPlant } from '#test/support/plant.ts'
import { failureOf } from '#test/support/sdk-calls.ts'

const plant = await startPlant()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
after(async () => {
  await plant.close()
  await rm(folder, { recursive: true })
})

const inFolder = (name: string) => path.join(folder, name)
const terminal = (key: string, file: string) => ({
  env: { SEALWIRE_URL: plant.api.url, SEALWIRE_API_KEY: key, SEALWIRE_RECIPIENT: inFolder(file) },
})
const owner = terminal(plant.api.ownerKey, 'owner.json')

async function newKey(role: string): Promise<string> {
  const { out } = await runCli(['api-keys', 'create', role, '--role', role], owner)
  return out
}
async function enrol(key: string, file: string): Promise<string> {
  const { code, out, err } = await runCli(
    ['recipients', 'enroll', '--out', inFolder(file), '--name', file],
    terminal(key, file),
  )
  assert.equal(code, 0, err)
  return out
}
const publish = (key: string, file: string) =>
  runCli(['publish', plant.integrationId, '-m', '22.5'], terminal(key, file))

test('a second machine has an API key and a recipient of its own, and neither opens answers to the other', async () => {
  const [one, two] = [await newKey('editor'), await newKey('editor')]
  const ids = [await enrol(one, 'one.json'), await enrol(two, 'two.json')]
  for (const [key, file] of [
    [one, 'one.json'],
    [two, 'two.json'],
  ] as const)
    assert.equal((await publish(key, file)).code, 0)
  const crossed = await publish(two, 'one.json')
  assert.equal(crossed.code, 3)
  assert.match(
    crossed.err,
    new RegExp(`hint: The answer says that it is for ${ids[1]}, and this recipient is ${ids[0]}`),
  )
  const listed = await runCli(['recipients', 'list'], owner)
  for (const id of ids) assert.match(listed.out, new RegExp(`${id}  active   client  ml-kem-768`))
  const own = await runCli(['recipients', 'list'], terminal(one, 'one.json'))
  assert.deepEqual([own.out.includes(ids[0] ?? '?'), own.out.includes(ids[1] ?? '?')], [true, false])
})

test('a moved file works from anywhere', async () => {
  const key = await newKey('editor')
  await enrol(key, 'here.json')
  await copyFile(inFolder('here.json'), inFolder('there.json'))
  assert.equal((await publish(key, 'there.json')).code, 0)
})

test('a lost file: its key cannot enrol again by itself; with keys:manage it is ended, and a new key enrols', async () => {
  const key = await newKey('editor')
  const lost = await enrol(key, 'lost.json')
  await rm(inFolder('lost.json'))
  const missing = await publish(key, 'lost.json')
  assert.match(missing.err, /no such file[\s\S]*hint: enrol once/)
  const again = await runCli(['recipients', 'enroll', '--out', inFolder('again.json')], terminal(key, 'again.json'))
  assert.equal(again.code, 1)
  assert.match(again.err, /hint: .*sealwire recipients revoke[\s\S]*sealwire api-keys create/)

  const revoked = await runCli(['recipients', 'revoke', lost], owner)
  assert.equal(revoked.code, 0, revoked.err)
  assert.match((await runCli(['recipients', 'show', lost], owner)).out, /\nstate {7}revoked\n/)
  const next = await newKey('editor')
  await enrol(next, 'next.json')
  assert.equal((await publish(next, 'next.json')).code, 0)
})

test('a lost file of a key with keys:manage: it enrols again, and the old recipient is retired', async () => {
  const key = await newKey('admin')
  const lost = await enrol(key, 'admin-lost.json')
  await enrol(key, 'admin-next.json')
  assert.equal((await publish(key, 'admin-next.json')).code, 0)
  assert.match((await runCli(['recipients', 'show', lost], owner)).out, /\nstate {7}retired\n/)
})

test('a rotation on the command line: the file opens what comes after it, to the other suite', async () => {
  const key = await newKey('admin')
  const before = await enrol(key, 'rotated.json')
  await copyFile(inFolder('rotated.json'), inFolder('before.json'))
  const rotated = await runCli(['recipients', 'rotate', '--suite', 'x-wing'], terminal(key, 'rotated.json'))
  assert.equal(rotated.code, 0, rotated.err)
  assert.equal((await publish(key, 'rotated.json')).code, 0)
  const stale = await publish(key, 'before.json')
  assert.match(stale.err, new RegExp(`for ${rotated.out}, and this recipient is ${before}`))
  assert.match(
    (await runCli(['recipients', 'show'], terminal(key, 'rotated.json'))).out,
    /\nsuite {7}x-wing\nstate {7}active\n/,
  )
})

test('the owner exports the keys of version 1, and the SDK opens with them what another key asked for', async () => {
  await enrol(plant.api.ownerKey, 'owner.json')
  const recipient = parseRecipient(await readFile(inFolder('owner.json'), 'utf8'))
  const sdk = new Sealwire({ baseUrl: plant.api.url, apiKey: plant.api.ownerKey, recipient })
  await setTenant(plant.api.config, recipient.tenantId, { envelopeVersions: [1, 2] }, { log: silentLog })
  const [listed] = await sdk.recipients.listVersion1()
  assert.ok(listed)
  const keys = await sdk.recipients.exportVersion1(listed.id)

  const body = { integration_id: plant.integrationId, operation: 'publish', payload: { message: '22.5', qos: 1 } }
  const headers = { 'Envelope-Version': '1' }
  const reply = await plant.api.call('POST', '/api/v2/proxy/outbound', { key: await newKey('editor'), headers, body })
  const envelope: unknown = reply.json.data
  const allowed = { allowVersion1: true, version1Keys: [keys] }
  const { answer, header } = await sdk.encryption.decrypt(envelope, allowed)
  assert.deepEqual([answer.success, header.v, header.op], [true, 1, 'proxy.outbound'])
  assert.equal((await failureOf(sdk.encryption.decrypt(envelope, allowed))).code, 'envelope.replay')
  assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'envelope.rejected')
})
