import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { apiTarget, type RequestToHash, requestHash } from '#src/envelope/request-hash.ts'
import { forge, open } from './forge.ts'
import { makeParties, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)
const sent: RequestToHash = {
  nonce: new Uint8Array(32).fill(7),
  method: 'POST',
  target: apiTarget('/api/v2/proxy/outbound?a=1&b=%2f'),
  body: utf8('{"operation":"publish"}'),
}
const rqhOf = (change: Partial<RequestToHash>): string => requestHash(opensslProvider, { ...sent, ...change })

/** Each arrives at the server in this form; the answer is sealed for that. */
const changed: { why: string; rqh: string | null }[] = [
  { why: 'another nonce', rqh: rqhOf({ nonce: new Uint8Array(32).fill(8) }) },
  { why: 'the nonce header stripped', rqh: null },
  { why: 'the query dropped', rqh: rqhOf({ target: '/api/v2/proxy/outbound' }) },
  { why: 'the query reordered', rqh: rqhOf({ target: '/api/v2/proxy/outbound?b=%2f&a=1' }) },
  { why: 'the query in another spelling', rqh: rqhOf({ target: '/api/v2/proxy/outbound?a=1&b=%2F' }) },
  { why: 'the method in lower case', rqh: rqhOf({ method: 'post' }) },
  { why: 'another method', rqh: rqhOf({ method: 'PUT' }) },
  { why: 'a byte changed in the body', rqh: rqhOf({ body: utf8('{"operation":"publisH"}') }) },
  {
    why: 'a byte moved from body to target',
    rqh: rqhOf({ target: `${sent.target}{`, body: utf8('"operation":"publish"}') }),
  },
  { why: 'a second prefix', rqh: rqhOf({ target: '/api/v2/api/v2/proxy/outbound?a=1&b=%2f' }) },
]
assert.ok(changed.length > 0)

for (const { why, rqh } of changed) {
  test(`the answer to a request with ${why} is refused, and the answer to the one sent opens`, async () => {
    const other = await forge(parties, { claims: { rqh } })
    assert.throws(() => open(parties, other, { rqh: rqhOf({}) }), refusal('envelope.mismatch'))
    const own = await forge(parties, { claims: { rqh: rqhOf({}) } })
    assert.deepEqual(open(parties, own, { rqh: rqhOf({}) }).plaintext, PLAINTEXT)
  })
}

test('a prefix that a proxy adds changes nothing', async () => {
  const rqh = rqhOf({ target: apiTarget('/gateway/sealwire/api/v2/proxy/outbound?a=1&b=%2f') })
  assert.deepEqual(open(parties, await forge(parties, { claims: { rqh } }), { rqh: rqhOf({}) }).plaintext, PLAINTEXT)
})

test('a request without nonce expects an answer without hash', async () => {
  const bare = await forge(parties, { claims: { rqh: null } })
  assert.ok(open(parties, bare, { rqh: null }))
  assert.throws(() => open(parties, bare, { rqh: rqhOf({}) }), refusal('envelope.mismatch'))
})

test('the answer to attempt 1 is refused by attempt 2, and opens for attempt 1', async () => {
  const [first, second] = [rqhOf({}), rqhOf({ nonce: new Uint8Array(32).fill(9) })]
  const answer = await forge(parties, { claims: { rqh: first } })
  assert.throws(() => open(parties, answer, { rqh: second }), refusal('envelope.mismatch'))
  assert.ok(open(parties, answer, { rqh: first }))
})

const bare = [400, 401, 200, 503].map((status) => ({ success: status === 200, data: null, error: { status } }))
for (const answer of [...bare, null, 'text', [], {}, 7]) {
  test(`what is no envelope is refused: ${JSON.stringify(answer)}`, () => {
    assert.throws(() => open(parties, answer), refusal())
  })
}

test('both providers hash a request to the same 64 characters', () => {
  assert.equal(requestHash(nobleProvider, sent), rqhOf({}))
  assert.match(rqhOf({}), /^[A-Za-z0-9_-]{64}$/)
})

test('a target without /api/v2/ and a nonce of another length are refused', () => {
  assert.throws(() => apiTarget('/health'), refusal('request.invalid'))
  assert.equal(apiTarget('/api/v2/vault/entries'), '/api/v2/vault/entries')
  assert.throws(() => rqhOf({ nonce: new Uint8Array(31) }), RangeError)
})
