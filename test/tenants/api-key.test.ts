import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { apiKeyDigest, formatApiKey, parseApiKey } from '#src/tenants/api-key.ts'

const id = 'key_01kat4hvr07rf9mm9f7nrvz4gg'
const random = Uint8Array.from({ length: 32 }, (_, i) => i)
const text = formatApiKey('live', id, random).reveal()

test('formatApiKey: these bytes give this text, for ever', () => {
  assert.equal(text, 'qs_live_01kat4hvr07rf9mm9f7nrvz4gg_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2NS5hL')
})

test('parseApiKey reads what formatApiKey wrote, at both ends of the range of secrets', () => {
  const bytes = [random, new Uint8Array(32), new Uint8Array(32).fill(255)]
  assert.equal(bytes.length, 3)
  for (const secret of bytes) {
    for (const kind of ['live', 'test'] as const) {
      const parsed = parseApiKey(formatApiKey(kind, id, secret).reveal())
      assert.deepEqual([parsed?.kind, parsed?.keyId, parsed?.secret.reveal().length], [kind, id, 43])
    }
  }
})

test('parseApiKey refuses every change of one character', () => {
  let tried = 0
  for (let i = 0; i < text.length; i++) {
    for (const other of ['0', 'a', 'Z', '_', 'é', '\u0000']) {
      const changed = text.slice(0, i) + other + text.slice(i + 1)
      if (changed === text) continue
      tried++
      assert.equal(parseApiKey(changed), undefined, changed)
    }
  }
  assert.ok(tried > 400)
})

const refused = [
  ['empty', ''],
  ['prefix only', 'qs_live_'],
  ['right id, no secret', text.slice(0, 35)],
  ['one character short', text.slice(0, -1)],
  ['one character more', `${text}0`],
  ['white space before', ` ${text.slice(0, -1)}`],
  ['trailing newline', `${text}\n`],
  ['other prefix', text.replace('qs_live_', 'qs_prod_')],
  ['upper case', text.toUpperCase()],
  ['a megabyte', text.repeat(12_484)],
] as const
for (const [why, presented] of refused) {
  test(`parseApiKey refuses: ${why}`, () => assert.equal(parseApiKey(presented), undefined))
}

test('the key is not printed by accident', () => {
  const secret = formatApiKey('live', id, random)
  assert.equal(
    `${secret.toString()} ${JSON.stringify({ secret, parsed: parseApiKey(text) })}`.includes(text.slice(35, 78)),
    false,
  )
})

test('apiKeyDigest: this pepper, tenant and key give this digest, for ever', () => {
  // hmac.new(bytes(range(64)), b'sealwire/api-key/v1\\0' + LP(tenant) + LP(key id) + LP(43 characters), sha512) of Python
  const pepper = Uint8Array.from({ length: 64 }, (_, i) => i)
  const parts = parseApiKey(text)
  assert.ok(parts)
  for (const provider of [opensslProvider, nobleProvider]) {
    const digest = apiKeyDigest(provider.macKey(pepper), 'ten_01kat4hvr07rf9mm9f7nrvz4gg', parts)
    assert.equal(
      toHex(digest),
      'a29db70262ce440ebb0d78f0f8e65d8fd128d65d04c33e1e904c298188bcef13' +
        '29d7b8eff6de810b0498c53165b0e7a3b4dde6ae8c51ef93fe23036a29a320b8',
    )
  }
})

test('apiKeyDigest depends on pepper, tenant, id and secret, and is the same with both providers', () => {
  const parts = parseApiKey(text)
  assert.ok(parts)
  const digest = (pepper: number, tenantId: string, keyId: string, provider = opensslProvider) =>
    Buffer.from(apiKeyDigest(provider.macKey(new Uint8Array(32).fill(pepper)), tenantId, { ...parts, keyId })).toString(
      'hex',
    )
  const others = [digest(1, 'ten_a', id), digest(2, 'ten_a', id), digest(1, 'ten_b', id), digest(1, 'ten_a', `${id}x`)]
  assert.equal(new Set(others).size, 4)
  assert.equal(digest(1, 'ten_a', id, nobleProvider), others[0])
  assert.equal(others[0]?.length, 128)
})
