import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { KeyRingControl, KeyWrapper, WrapContext } from '#src/kms/kms.ts'
import { openLocalKeyWrapper } from '#src/kms/local.ts'

const context: WrapContext = { tenant_id: 'ten_a', purpose: 'vault-share', entry_id: 'entry-1', version: '1' }
const share = utf8('thirty-two bytes that are secret')

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire ring '))
  file = path.join(folder, 'local-kms.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function open(createIfEmpty = false): Promise<KeyWrapper & { ring: KeyRingControl }> {
  const wrapper = await openLocalKeyWrapper({ file, provider: opensslProvider, createIfEmpty })
  assert.ok(wrapper.ring)
  return {
    ...wrapper,
    ring: wrapper.ring,
    get defaultKeyId() {
      return wrapper.defaultKeyId
    },
  }
}
const onDisk = () => JSON.parse(readFileSync(file, 'utf8')) as { primary: string; keys: { id: string }[] }

test('a new primary wraps from then on, what the old one wrapped still opens, and the file keeps its mode', async () => {
  const wrapper = await open(true)
  const old = await wrapper.wrap(wrapper.defaultKeyId, share, context)
  await wrapper.ring.add('local-b', { primary: true })
  assert.equal(wrapper.defaultKeyId, 'local-b')
  assert.equal(onDisk().primary, 'local-b')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(folder), [path.basename(file)])
  const fresh = await wrapper.wrap(wrapper.defaultKeyId, share, context)
  for (const { keyId, wrapped } of [old, fresh]) {
    assert.deepEqual(await (await open()).unwrap(keyId, wrapped, context), share)
  }
})

test('another process finds a key that was added when it first meets its id, and the primary when it is told', async () => {
  const [here, there] = [await open(true), await open()]
  await here.ring.add('local-b', { primary: true })
  const { keyId, wrapped } = await here.wrap('local-b', share, context)
  const before = there.defaultKeyId
  assert.notEqual(before, 'local-b')
  assert.deepEqual(await there.unwrap(keyId, wrapped, context), share)
  await there.ring.refresh()
  assert.equal(there.defaultKeyId, 'local-b')
})

test('another process wraps nothing under a key that was removed, though it knew it', async () => {
  const [here, there] = [await open(true), await open()]
  const old = here.defaultKeyId
  await here.ring.add('local-b', { primary: true })
  await there.wrap(old, share, context)
  await here.ring.remove(old)
  await assert.rejects(there.wrap(old, share, context), { code: 'kms.unavailable' })
  await there.wrap('local-b', share, context)
})

test('adding a key that is there keeps its bytes, and only names the primary', async () => {
  const wrapper = await open(true)
  const old = wrapper.defaultKeyId
  await wrapper.ring.add('local-b', { primary: false })
  assert.equal(wrapper.defaultKeyId, old)
  const keys = onDisk().keys
  await wrapper.ring.add('local-b', { primary: true })
  assert.deepEqual(onDisk(), { version: 1, primary: 'local-b', keys })
})

test('the primary and a key that is not there are not removed', async () => {
  const wrapper = await open(true)
  await assert.rejects(wrapper.ring.remove(wrapper.defaultKeyId), { code: 'object.in_use' })
  await assert.rejects(wrapper.ring.remove('local-z'), { code: 'object.not_found' })
  assert.equal(wrapper.ring.ids().length, 1)
})

for (const id of ['', ' ', 'a b', '-a', 'a/b', 'ä', 'x'.repeat(129), 'a\n']) {
  test(`an id that is none is refused: ${JSON.stringify(id.slice(0, 10))}`, async () => {
    const wrapper = await open(true)
    const before = readFileSync(file, 'utf8')
    await assert.rejects(wrapper.ring.add(id, { primary: true }), { code: 'request.invalid' })
    assert.equal(readFileSync(file, 'utf8'), before)
  })
}

test('a ring holds 64 keys', async () => {
  const wrapper = await open(true)
  for (let i = 1; i < 64; i++) await wrapper.ring.add(`local-${i}`, { primary: false })
  await assert.rejects(wrapper.ring.add('local-64', { primary: false }), { code: 'quota.exceeded' })
  await wrapper.ring.remove('local-1')
  await wrapper.ring.add('local-64', { primary: false })
})

test('half a draft of a process that was killed is not read, and is gone after the next change', async () => {
  const wrapper = await open(true)
  writeFileSync(`${file}.new`, '{"version": 1, "primary": "local-', { mode: 0o600 })
  assert.equal((await open()).defaultKeyId, wrapper.defaultKeyId)
  await wrapper.ring.add('local-b', { primary: true })
  assert.equal(existsSync(`${file}.new`), false)
  assert.equal((await open()).defaultKeyId, 'local-b')
})

test('a ring that others may read is not taken over: what was known goes on opening, and nothing new is wrapped', async () => {
  const [here, there] = [await open(true), await open()]
  const { keyId, wrapped } = await there.wrap(there.defaultKeyId, share, context)
  await here.ring.add('local-b', { primary: true })
  chmodSync(file, 0o644)
  await assert.rejects(there.ring.refresh(), { code: 'kms.unavailable' })
  await assert.rejects(there.wrap(keyId, share, context), { code: 'kms.unavailable' })
  assert.deepEqual(await there.unwrap(keyId, wrapped, context), share)
  chmodSync(file, 0o600)
  await there.ring.refresh()
  assert.equal(there.defaultKeyId, 'local-b')
})
