import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { toBase64 } from '#src/core/base64.ts'
import { utf8 } from '#src/core/bytes.ts'
import { AppError } from '#src/core/errors.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { WrapContext } from '#src/kms/kms.ts'
import { openLocalKeyWrapper } from '#src/kms/local.ts'

const provider = opensslProvider
const context: WrapContext = { tenant_id: 'ten_a', purpose: 'vault-share', entry_id: 'entry-1', version: '1' }
const share = utf8('thirty-two bytes that are secret')

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire ring '))
  file = path.join(folder, 'local-kms.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

const create = () => openLocalKeyWrapper({ file, provider, createIfEmpty: true })
const open = () => openLocalKeyWrapper({ file, provider, createIfEmpty: false })

async function refuses(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (err: unknown) => {
    assert.ok(err instanceof AppError)
    assert.equal(err.code, 'kms.unavailable')
    assert.equal(err.message, 'The key wrapper does not answer.')
    return true
  })
}

test('the first start makes a ring of one key with mode 0600 and leaves nothing else behind', async () => {
  const wrapper = await create()
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(folder), [path.basename(file)])
  const ring = JSON.parse(readFileSync(file, 'utf8'))
  assert.deepEqual(Object.keys(ring), ['version', 'primary', 'keys'])
  assert.deepEqual(Object.keys(ring.keys[0]), ['id', 'key', 'created_at'])
  assert.equal(ring.primary, wrapper.defaultKeyId)
  assert.equal(wrapper.provider, 'local')
})

test('starts that race for the first ring end with the same one', async () => {
  const wrappers = await Promise.all([create(), create(), create(), create()])
  assert.equal(new Set(wrappers.map((wrapper) => wrapper.defaultKeyId)).size, 1)
})

test('a wrap opens again after a restart, and two wraps of the same bytes differ', async () => {
  const first = await create()
  const { keyId, wrapped } = await first.wrap(first.defaultKeyId, share, context)
  const again = await first.wrap(first.defaultKeyId, share, context)
  assert.notDeepEqual(wrapped, again.wrapped)
  assert.deepEqual(await (await open()).unwrap(keyId, wrapped, context), share)
})

test('each provider opens what the other wrapped', async () => {
  const openssl = await create()
  const noble = await openLocalKeyWrapper({ file, provider: nobleProvider, createIfEmpty: false })
  for (const [maker, opener] of [
    [openssl, noble],
    [noble, openssl],
  ] as const) {
    const { keyId, wrapped } = await maker.wrap(maker.defaultKeyId, share, context)
    assert.deepEqual(await opener.unwrap(keyId, wrapped, context), share)
  }
})

test('a wrap with any one bit flipped, cut anywhere, or followed by a byte is refused', async () => {
  const wrapper = await create()
  const { keyId, wrapped } = await wrapper.wrap(wrapper.defaultKeyId, share, context)
  let bits = 0
  for (let bit = 0; bit < wrapped.length * 8; bit++, bits++) {
    const changed = wrapped.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
    await refuses(wrapper.unwrap(keyId, changed, context))
  }
  assert.equal(bits, wrapped.length * 8)
  for (let length = 0; length < wrapped.length; length++) {
    await refuses(wrapper.unwrap(keyId, wrapped.subarray(0, length), context))
  }
  await refuses(wrapper.unwrap(keyId, new Uint8Array([...wrapped, 0]), context))
  assert.deepEqual(await wrapper.unwrap(keyId, wrapped, context), share)
})

const otherContexts: { why: string; other: WrapContext }[] = [
  { why: 'another tenant', other: { ...context, tenant_id: 'ten_b' } },
  { why: 'another purpose', other: { ...context, purpose: 'vault-key' } },
  { why: 'another entry', other: { ...context, entry_id: 'entry-2' } },
  { why: 'a member more', other: { ...context, more: '' } },
  { why: 'a member less', other: { tenant_id: 'ten_a', purpose: 'vault-share', entry_id: 'entry-1' } },
  { why: 'a name and its value moved against each other', other: { ...context, version: '', version1: '' } },
]
for (const { why, other } of otherContexts) {
  test(`a wrap is refused with ${why}, and opens with its own context in any order`, async () => {
    const wrapper = await create()
    const { keyId, wrapped } = await wrapper.wrap(wrapper.defaultKeyId, share, context)
    await refuses(wrapper.unwrap(keyId, wrapped, other))
    const reversed = Object.fromEntries(Object.entries(context).reverse()) as WrapContext
    assert.deepEqual(await wrapper.unwrap(keyId, wrapped, reversed), share)
  })
}

test('1 to 4,096 bytes are wrapped, as with KMS', async () => {
  const wrapper = await create()
  for (const length of [1, 4096]) await wrapper.wrap(wrapper.defaultKeyId, new Uint8Array(length), context)
  for (const length of [0, 4097]) await refuses(wrapper.wrap(wrapper.defaultKeyId, new Uint8Array(length), context))
})

test('V8: a missing file is not made again, and the message says so', async () => {
  await assert.rejects(open(), /local-kms\.json is missing: restore the key file/)
  await create()
  await open()
})

for (const mode of [0o640, 0o604, 0o620, 0o660, 0o644]) {
  test(`V8: a file of mode ${mode.toString(8)} refuses to start, and starts with 600`, async () => {
    await create()
    chmodSync(file, mode)
    await assert.rejects(open(), /others may read it/)
    chmodSync(file, 0o600)
    await open()
  })
}

const KEY = toBase64(new Uint8Array(32).fill(7))
const OTHER = toBase64(new Uint8Array(32).fill(8))
const one = (id: string, key = KEY) => ({ id, key, created_at: '2026-11-21T12:00:00Z' })
const good = { version: 1, primary: 'local-a', keys: [one('local-a')] }

const wrongFiles: { why: string; text: string; says: RegExp }[] = [
  {
    why: 'two primaries',
    text: JSON.stringify(good).replace('"keys"', '"primary":"local-b","keys"'),
    says: /twice/,
  },
  {
    why: 'two keys of one id',
    text: JSON.stringify({ ...good, keys: [one('local-a'), one('local-a', OTHER)] }),
    says: /two keys with the id local-a/,
  },
  {
    why: 'a primary that is not in the ring',
    text: JSON.stringify({ ...good, primary: 'local-z' }),
    says: /local-z.*local-a/,
  },
  { why: 'no primary', text: JSON.stringify({ version: 1, keys: good.keys }), says: /primary/ },
  { why: 'no keys', text: JSON.stringify({ ...good, keys: [] }), says: /keys/ },
  {
    why: 'a short key',
    text: JSON.stringify({ ...good, keys: [one('local-a', toBase64(new Uint8Array(31).fill(7)))] }),
    says: /keys\.0\.key: must be the base64 of 32 bytes/,
  },
  {
    why: 'a key that is not base64',
    text: JSON.stringify({ ...good, keys: [one('local-a', `${KEY}!`)] }),
    says: /keys\.0\.key/,
  },
  { why: 'another version', text: JSON.stringify({ ...good, version: 2 }), says: /version/ },
  { why: 'a member more', text: JSON.stringify({ ...good, note: KEY }), says: /not a key ring/ },
  { why: 'half a file', text: JSON.stringify(good).slice(0, -10), says: /not JSON/ },
  { why: 'nothing', text: '', says: /not JSON/ },
]
for (const { why, text, says } of wrongFiles) {
  test(`V8: a ring with ${why} refuses to start and prints no key, while the good one starts`, async () => {
    writeFileSync(file, text, { mode: 0o600 })
    await assert.rejects(open(), (err: Error) => {
      assert.match(err.message, says)
      const printed = `${err.stack}${JSON.stringify(err)}${String(err.cause)}`
      for (const key of [KEY, OTHER]) assert.ok(!printed.includes(key.slice(0, 12)), 'a key was printed')
      return true
    })
    writeFileSync(file, JSON.stringify(good))
    await open()
  })
}

const V8rings: { why: string; ring: typeof good; opens: boolean }[] = [
  { why: 'the right key', ring: good, opens: true },
  { why: 'other bytes under the same id', ring: { ...good, keys: [one('local-a', OTHER)] }, opens: false },
  {
    why: 'the right bytes under another id',
    ring: { version: 1, primary: 'local-b', keys: [one('local-b')] },
    opens: false,
  },
  {
    why: 'the right key beside a newer primary',
    ring: { version: 1, primary: 'local-b', keys: [one('local-a'), one('local-b', OTHER)] },
    opens: true,
  },
]
for (const { why, ring, opens } of V8rings) {
  test(`V8: with ${why}, a wrap from before ${opens ? 'opens' : 'is refused'}`, async () => {
    writeFileSync(file, JSON.stringify(good), { mode: 0o600 })
    const maker = await open()
    const { keyId, wrapped } = await maker.wrap('local-a', share, context)
    writeFileSync(file, JSON.stringify(ring))
    const opener = await open()
    if (opens) assert.deepEqual(await opener.unwrap(keyId, wrapped, context), share)
    else await refuses(opener.unwrap(keyId, wrapped, context))
  })
}

test('the cause of a refusal names the key ids and no bytes', async () => {
  const wrapper = await create()
  await assert.rejects(wrapper.wrap('local-none', share, context), (err: AppError) => {
    assert.match(String(err.cause), /local-none/)
    assert.match(String(err.cause), new RegExp(wrapper.defaultKeyId))
    return true
  })
})
