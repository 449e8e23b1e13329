import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { IssuerKey } from '#src/envelope/open.ts'
import {
  openStoredObject,
  readStoredObject,
  storedObjectClaims,
  writeStoredObject,
} from '#src/envelope/stored-object.ts'
import { providers } from '#test/support/deployment.ts'
import { forge, open } from './forge.ts'
import { issuerMap, makeIssuer, makeParties, NOW_S } from './parties.ts'
import { refusal } from './refusal.ts'

const context = { purpose: 'backup', line: '4' }
const data = utf8('recipe 17')

for (const provider of providers) {
  describe(`stored objects with ${provider.name}`, () => {
    const parties = makeParties(provider)
    const { published } = parties.issuer
    const object = (claims = {}) =>
      forge(parties, {
        claims: { ...storedObjectClaims('req_one', NOW_S), ...claims },
        plaintext: writeStoredObject(context, data),
      })
    const read = (
      envelope: HybridCryptoEnvelope,
      {
        said = context,
        nowS = NOW_S,
        key = published,
      }: { said?: Record<string, string>; nowS?: number; key?: IssuerKey } = {},
    ) => openStoredObject(provider, envelope, parties.recipient.reader, issuerMap(key), { context: said, nowS })

    test('opens years later, as often as it is asked, and only with its context', async () => {
      const envelope = await object()
      for (const nowS of [NOW_S, NOW_S + 1e9]) assert.deepEqual(read(envelope, { nowS }).data, data)
      assert.equal(read(envelope).isIssuerTrusted, true)
      assert.deepEqual(read(envelope, { said: { line: '4', purpose: 'backup' } }).data, data, 'in any order')
      const others = [{}, { purpose: 'backup' }, { ...context, line: '5' }, { ...context, more: '' }]
      for (const said of others)
        assert.throws(() => read(envelope, { said: said as Record<string, string> }), refusal())
    })

    test('an answer is no object, and an object is no answer', async () => {
      const [answer, envelope] = [await forge(parties), await object()]
      assert.throws(() => read(answer), refusal('envelope.mismatch'))
      const expected = { op: 'answer', sub: null, rqh: null }
      assert.throws(() => open(parties, envelope, expected), refusal('envelope.mismatch'))
    })

    test('a key that was revoked since does not close what it stored; it opens marked, on the HMAC alone', async () => {
      const envelope = await object()
      const revoked = { ...published, state: 'revoked' as const }
      const opened = read(envelope, { key: revoked })
      assert.deepEqual([opened.data, opened.isIssuerTrusted], [data, false])
      const answer = await forge(parties)
      assert.throws(() => read(answer, { key: revoked }), refusal(), 'an answer of a revoked key stays closed')
      const stranger = makeIssuer(provider, 'two', published.keyId)
      assert.deepEqual(read(envelope, { key: { ...stranger.published, state: 'revoked' } }).data, data)
    })

    test('whoever stole the revoked key cannot store: the HMAC is missing', async () => {
      const stolen = await forge(parties, {
        claims: storedObjectClaims('req_one', NOW_S),
        plaintext: writeStoredObject(context, data),
        mac: provider.macKey(new Uint8Array(64)),
      })
      assert.throws(() => read(stolen, { key: { ...published, state: 'revoked' } }), refusal())
      assert.throws(() => read(stolen), refusal())
    })
  })
}

test('the plaintext has one spelling; any other is refused', () => {
  const written = writeStoredObject({ b: '2', a: '1' }, data)
  assert.equal(new TextDecoder().decode(written), '{"encryption_context":{"a":"1","b":"2"},"data":"cmVjaXBlIDE3"}')
  assert.deepEqual(readStoredObject(written, { a: '1', b: '2' }), data)
  const odd = [
    '{"data":"cmVjaXBlIDE3","encryption_context":{"a":"1","b":"2"}}',
    '{"encryption_context":{"a":"1","b":"2"},"data":"cmVjaXBlIDE3","data":"cmVjaXBlIDE3"}',
    '{"encryption_context":{"a":"1","b":"2"},"data":17}',
    'null',
    'not JSON',
  ]
  for (const text of odd) assert.throws(() => readStoredObject(utf8(text), { a: '1', b: '2' }), refusal())
})

test('a member named __proto__ is a member like any other', () => {
  const named = JSON.parse('{"__proto__":"x"}') as Record<string, string>
  const written = writeStoredObject(named, data)
  assert.deepEqual(readStoredObject(written, named), data)
  assert.throws(() => readStoredObject(written, {}), refusal())
})
