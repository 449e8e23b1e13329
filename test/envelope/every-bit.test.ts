import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '#src/core/base64.ts'
import { decodeUtf8, u32, utf8 } from '#src/core/bytes.ts'
import { AppError } from '#src/core/errors.ts'
import { parseStrictJson } from '#src/core/strict-json.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealBatch } from './batch.ts'
import { setAt } from './fields.ts'
import { EXPECTED, flipBit, open } from './forge.ts'
import { issuerMap, makeParties, type Parties } from './parties.ts'
import { codeOf } from './refusal.ts'

const opensAs = (parties: Parties, envelope: unknown) =>
  openEnvelope(provider, envelope, parties.recipient.reader, issuerMap(parties.issuer.published), EXPECTED)

/** What a reader does with the text that arrived; `undefined` when that is no JSON at all. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(decodeUtf8(bytes))
  } catch (err) {
    if (err instanceof AppError || err instanceof TypeError) return undefined // not JSON, not UTF-8
    throw err
  }
}

/** Where the long values stand, of which `tamper.test.ts` flips every bit after decoding. */
const longValues = /"(?:ciphertext_kem|pqc_signature)":"([^"]+)"/dg

test('every single bit of the text of an envelope counts: names, brackets, ids, numbers, and the short values', async () => {
  const parties = makeParties(provider)
  const envelope = (await sealBatch(parties, 2, utf8('{}')))[0] ?? assert.fail()
  const text = JSON.stringify(envelope)
  const skipped = [...text.matchAll(longValues)].map((match) => match.indices?.[1] ?? assert.fail())
  assert.equal(skipped.length, 2)
  const bytes = utf8(text)
  let [judged, read] = [0, 0]
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    if (skipped.some(([from, to]) => bit >= from * 8 && bit < to * 8)) continue
    judged++
    const received = parsed(flipBit(bytes, bit))
    if (received === undefined) continue
    read++
    const code = codeOf(() => opensAs(parties, received))
    assert.equal(code, 'envelope.rejected', `bit ${bit}`)
  }
  const long = skipped.reduce((sum, [from, to]) => sum + to - from, 0)
  assert.equal(judged, (bytes.length - long) * 8)
  assert.ok(read > 5_000, `${read} of ${judged} were read as JSON`)
  assert.deepEqual(opensAs(parties, parsed(bytes)).plaintext, utf8('{}'))
})

test('20,000 bits flipped anywhere in a ciphertext of 4 KiB are refused', async () => {
  const parties = makeParties(provider)
  const plaintext = new Uint8Array(4096)
  const envelope = (await sealBatch(parties, 2, plaintext))[1] ?? assert.fail()
  const path = ['encrypted', 'ciphertext_data']
  const bytes = fromBase64(envelope.encrypted.ciphertext_data) ?? assert.fail()
  assert.equal(bytes.length, 12 + plaintext.length + 16)
  for (let i = 0; i < 20_000; i++) {
    const bit = new DataView(provider.sha384(u32(i)).buffer).getUint32(0) % (bytes.length * 8) // the same in every run
    const flipped = {
      ...envelope,
      encrypted: { ...envelope.encrypted, ciphertext_data: toBase64(flipBit(bytes, bit)) },
    }
    assert.equal(
      codeOf(() => opensAs(parties, flipped)),
      'envelope.rejected',
      `bit ${bit}`,
    )
  }
  assert.deepEqual(open(parties, setAt(envelope, path, toBase64(bytes))).plaintext, plaintext)
})
