import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { toBase64Url } from '#src/core/base64.ts'
import { createConnection } from '#src/sdk/connection.ts'
import { createRecipient, nobleProvider, parseRecipient, Sealwire, serialiseRecipient } from '#src/sdk/index.ts'
import { trustOnFirstUse } from '#src/sdk/issuer-keys.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareSuccess, type Responder, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const client = () => new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock() })
const rootFingerprint = stub.deployment.root

describe('recipients.enroll', () => {
  test('sends a KEM key, opens the MAC key, proves it, and returns what opens later answers', async () => {
    const keys = createRecipient()
    stub.answerWith(stub.enrolment())
    const recipient = await client().recipients.enroll({ name: 'line 4', keys, rootFingerprint })
    assert.equal(recipient.kemSeed, keys.kemSeed)
    assert.deepEqual([recipient.root, recipient.baseUrl], [rootFingerprint, stub.url])
    assert.deepEqual(
      stub.seen.map(({ url }) => url),
      ['/api/v2/recipients', `/api/v2/recipients/${recipient.recipientId}/confirm`],
    )
    assert.deepEqual(parseRecipient(serialiseRecipient(recipient)), recipient)
  })

  test('a lost answer is asked for again with the same key and another nonce', async () => {
    const enrol = stub.enrolment()
    stub.answerInTurn(() => 'break the connection', enrol)
    await client().recipients.enroll({ name: 'line 4', rootFingerprint })
    const [first, second] = stub.seen
    assert.deepEqual(first?.body, second?.body)
    assert.notEqual(first?.headers['envelope-nonce'], second?.headers['envelope-nonce'])
  })

  const refused: { what: string; code: string; answer: Responder }[] = [
    {
      what: 'an enrolment that answers another nonce',
      code: 'envelope.mismatch',
      answer: (request) => {
        const headers = { ...request.headers, 'envelope-nonce': toBase64Url(new Uint8Array(32)) }
        return stub.enrolment()({ ...request, headers })
      },
    },
    {
      what: 'an envelope for another recipient',
      code: 'envelope.rejected',
      answer: (request) => stub.sealed(request, success({}), { claims: { op: 'recipients.enroll' }, status: 201 }),
    },
    {
      what: 'a MAC key without an envelope',
      code: 'envelope.rejected',
      answer: () =>
        bareSuccess({ recipient_id: 'rcp_1', kem_key_id: 'kem_1', mac_key_id: 'mac_1', mac_key: 'AA==' }, 201),
    },
  ]
  for (const { what, code, answer } of refused) {
    test(`${what} is refused, and no proof is sent; its twin enrols`, async () => {
      stub.answerWith(answer)
      assert.equal((await failureOf(client().recipients.enroll({ name: 'line 4', rootFingerprint }))).code, code)
      assert.equal(stub.seen.length, 1)
      stub.answerWith(stub.enrolment())
      await client().recipients.enroll({ name: 'line 4', rootFingerprint })
    })
  }

  test('another root than the pinned one is refused before anything is sent; without a pin it is taken on first use', async () => {
    stub.answerWith(stub.enrolment())
    const other = toBase64Url(new Uint8Array(48))
    const error = await failureOf(client().recipients.enroll({ name: 'line 4', rootFingerprint: other }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.issuer_unknown', 'rejected', 0])
    assert.equal((await client().recipients.enroll({ name: 'line 4' })).root, rootFingerprint)
  })
})

describe('trust on first use needs TLS, or this machine', () => {
  const cases = [
    { baseUrl: 'http://sealwire.example', trusted: false },
    { baseUrl: 'http://10.0.0.1:8080', trusted: false },
    { baseUrl: 'http://127.0.0.1.example', trusted: false },
    { baseUrl: 'https://sealwire.example', trusted: true },
    { baseUrl: 'http://localhost:8080', trusted: true },
    { baseUrl: 'http://127.0.0.1:8080', trusted: true },
    { baseUrl: 'http://[::1]:8080', trusted: true },
  ]
  for (const { baseUrl, trusted } of cases) {
    test(`${baseUrl}: ${trusted ? 'trusted' : 'refused'}`, async () => {
      const { body } = await stub.documentOf([stub.publishedKey()])
      const fetch = async () => Response.json(body)
      const limits = { apiKey: undefined, timeoutMs: 1000, maxRetries: 0, clock: impatientClock() }
      const connection = createConnection({ baseUrl, fetch, ...limits })
      const work = trustOnFirstUse(connection, nobleProvider, AbortSignal.timeout(1000))
      if (trusted) assert.equal(await work, rootFingerprint)
      else assert.equal((await failureOf(work)).code, 'envelope.issuer_unknown')
    })
  }
})

describe('recipient file', () => {
  const text = serialiseRecipient(stub.recipient)
  const file = JSON.parse(text) as Record<string, unknown>

  test('holds exactly the members of the format, and no API key', () => {
    assert.deepEqual(Object.keys(file), [
      'version',
      'suite',
      'base_url',
      'tenant_id',
      'recipient_id',
      'kem_key_id',
      'kem_seed',
      'mac_key_id',
      'mac_key',
      'root',
    ])
    assert.equal(serialiseRecipient(parseRecipient(text)), text)
  })

  const broken: { what: string; text: string }[] = [
    ...Object.keys(file).map((name) => ({
      what: `without ${name}`,
      text: JSON.stringify({ ...file, [name]: undefined }),
    })),
    { what: 'with another member', text: JSON.stringify({ ...file, api_key: 'x' }) },
    { what: 'of another version', text: JSON.stringify({ ...file, version: 2 }) },
    { what: 'of another suite', text: JSON.stringify({ ...file, suite: 'X' }) },
    { what: 'with a short seed', text: JSON.stringify({ ...file, kem_seed: 'AAAA' }) },
    { what: 'with a padded MAC key', text: JSON.stringify({ ...file, mac_key: `${String(file['mac_key'])}==` }) },
    { what: 'with an id of another kind', text: JSON.stringify({ ...file, kem_key_id: file['mac_key_id'] }) },
    { what: 'with a URL that is none', text: JSON.stringify({ ...file, base_url: 'here' }) },
    { what: 'with a member twice', text: text.replace('{', '{"version": 1,') },
    { what: 'that is not JSON', text: `${text}}` },
    { what: 'that is an array', text: `[${text}]` },
    { what: 'over 16 KiB', text: text + ' '.repeat(16_384) },
  ]
  assert.ok(broken.length > 20)
  for (const { what, text: brokenText } of broken) {
    test(`${what} is refused, and the message shows no secret`, () => {
      assert.throws(
        () => parseRecipient(brokenText),
        (err: Error & { code?: string }) =>
          err.code === 'request.invalid' && !err.message.includes(String(file['kem_seed']).slice(0, 8)),
      )
    })
  }

  test('a recipient prints without its secrets', () => {
    const printed = `${inspect(stub.recipient, { depth: 9 })} ${JSON.stringify(stub.recipient)}`
    assert.match(printed, /\[secret\]/)
    assert.doesNotMatch(printed, new RegExp(String(file['kem_seed']).slice(0, 12)))
  })
})
