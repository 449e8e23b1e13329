import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64, toBase64Url } from '#src/core/base64.ts'
import { labelled, utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import {
  type KeyDocument,
  openKeyDocument,
  type PublishedKey,
  rootFingerprint,
  signKeyDocument,
} from '#src/envelope/key-document.ts'
import { setAt } from './fields.ts'
import { flipBit, forge, open } from './forge.ts'
import { makeIssuer, makeParties, NOW_S, PLAINTEXT, seedOf } from './parties.ts'
import { refusal } from './refusal.ts'

const DAY_S = 24 * 3600
const root = { signing: provider.signingKey(seedOf(provider, 'root', 32)) }
const otherRoot = { signing: provider.signingKey(seedOf(provider, 'other root', 32)) }
const pinned = rootFingerprint(provider, root.signing.publicKey)
const parties = makeParties(provider)

const published = (name: string): PublishedKey => ({
  kid: `sig_${name}`,
  use: 'envelope-v2',
  pub: makeIssuer(provider, name).verify.bytes,
  nbf: NOW_S - 3600,
  naf: null,
  state: 'active',
})
const audit: PublishedKey = { ...published('audit'), use: 'audit', naf: NOW_S + 1, state: 'retired' }
const sign = (
  keys: readonly PublishedKey[] = [published('one'), audit],
  exp = NOW_S + 7 * DAY_S,
): Promise<KeyDocument> => signKeyDocument(provider, root, keys, NOW_S, exp)
const unknown = refusal('envelope.issuer_unknown')

for (const reader of [provider, nobleProvider]) {
  test(`a document opens under its root with ${reader.name}, and its keys open envelopes`, async () => {
    const document: unknown = JSON.parse(JSON.stringify(await sign()))
    const issuers = openKeyDocument(reader, document, pinned, NOW_S)
    assert.deepEqual([...issuers.keys()], ['sig_one', 'sig_audit'])
    const { key, ...rest } = issuers.get('sig_audit') ?? assert.fail()
    const window = { notBefore: NOW_S - 3600, notAfter: NOW_S + 1 }
    assert.deepEqual(rest, { keyId: 'sig_audit', use: 'audit', state: 'retired', ...window })
    assert.deepEqual(key.bytes, audit.pub)
    assert.deepEqual(open(parties, await forge(parties), {}, [...issuers.values()]).plaintext, PLAINTEXT)
  })
}

test('a root is named by 64 characters', () => assert.match(pinned, /^[A-Za-z0-9_-]{64}$/))

/** Signs any content as the root does. */
async function signContent(content: string, context = 'sealwire/keys/v1'): Promise<KeyDocument> {
  const signed = utf8(content)
  const signature = await root.signing.sign(labelled('sealwire/keys/v1', signed), utf8(context))
  return { ...(await sign()), signed: toBase64Url(signed), signature: toBase64(signature) }
}
const key = {
  kid: 'sig_one',
  use: 'envelope-v2',
  pub: toBase64Url(published('one').pub),
  nbf: 1,
  naf: null,
  state: 'active',
}
const content = (change: object = {}): string =>
  JSON.stringify({ v: 1, iat: NOW_S, exp: NOW_S + 300, keys: [key], ...change })

const contents: { why: string; text: string }[] = [
  { why: 'another version', text: content({ v: 2 }) },
  { why: 'a life of 90 days and 1 s', text: content({ exp: NOW_S + 90 * DAY_S + 1 }) },
  { why: 'no life', text: content({ exp: NOW_S }) },
  { why: 'no list', text: content({ keys: null }) },
  { why: 'an unknown member', text: content({ x: 1 }) },
  { why: 'a duplicate member', text: content().replace('"v":1', '"v":2,"v":1') },
  { why: 'white space', text: `${content()} ` },
  { why: 'two keys of one name', text: content({ keys: [key, key] }) },
  { why: 'another use', text: content({ keys: [{ ...key, use: 'sign' }] }) },
  { why: 'another state', text: content({ keys: [{ ...key, state: 'lost' }] }) },
  { why: 'a key that is too short', text: content({ keys: [{ ...key, pub: 'AAAA' }] }) },
  { why: 'a window that ends before it begins', text: content({ keys: [{ ...key, nbf: 2, naf: 1 }] }) },
  { why: 'a hostile name', text: content({ keys: [{ ...key, kid: '../sig' }] }) },
  { why: 'null for a key', text: content({ keys: [null] }) },
  { why: 'no object', text: 'null' },
  { why: 'no JSON', text: '{' },
]
for (const { why, text } of contents) {
  test(`a document with ${why} is refused, signed as it is, and its twin opens`, async () => {
    const bad = await signContent(text)
    assert.throws(() => openKeyDocument(provider, bad, pinned, NOW_S), unknown)
    assert.equal(openKeyDocument(provider, await signContent(content()), pinned, NOW_S).size, 1)
  })
}

test('a document under another root is refused, by the pin and by the signature', async () => {
  const foreign = await signKeyDocument(provider, otherRoot, [published('one')], NOW_S, NOW_S + 300)
  assert.throws(() => openKeyDocument(provider, foreign, pinned, NOW_S), unknown)
  const renamed = { ...foreign, root_pub: toBase64Url(root.signing.publicKey) }
  assert.throws(() => openKeyDocument(provider, renamed, pinned, NOW_S), unknown)
  const otherPin = rootFingerprint(provider, otherRoot.signing.publicKey)
  assert.equal(openKeyDocument(provider, foreign, otherPin, NOW_S).size, 1)
})

test('a key in the copy for tools but not under the signature is unknown', async () => {
  const document = await sign([published('two')])
  const tools = [{ kty: 'AKP', alg: 'ML-DSA-65', kid: 'sig_one', pub: toBase64Url(published('one').pub) }]
  const issuers = openKeyDocument(provider, { ...document, keys: tools }, pinned, NOW_S)
  const envelope = await forge(parties)
  assert.throws(() => open(parties, envelope, {}, [...issuers.values()]), unknown)
  const vouched = openKeyDocument(provider, await sign([published('one')]), pinned, NOW_S)
  assert.deepEqual(open(parties, envelope, {}, [...vouched.values()]).plaintext, PLAINTEXT)
})

const times: { why: string; bad: number; good: number }[] = [
  { why: 'expired', bad: NOW_S + 7 * DAY_S + 61, good: NOW_S + 7 * DAY_S + 60 },
  { why: 'of the future', bad: NOW_S - 61, good: NOW_S - 60 },
]
for (const { why, bad, good } of times) {
  test(`a document is refused when it is ${why}, allowing for clocks`, async () => {
    const document = await sign()
    assert.throws(() => openKeyDocument(provider, document, pinned, bad), unknown)
    assert.equal(openKeyDocument(provider, document, pinned, good).size, 2)
  })
}

for (const context of ['', 'sealwire/envelope/v2']) {
  test(`a document signed with the context '${context}' is refused`, async () => {
    const bad = await signContent(content(), context)
    assert.throws(() => openKeyDocument(provider, bad, pinned, NOW_S), unknown)
    assert.equal(openKeyDocument(provider, await signContent(content()), pinned, NOW_S).size, 1)
  })
}

test('every bit flipped in what is signed is refused, and members that are missing or of another type', async () => {
  const document = await signContent(content({ keys: [] }))
  const signed = utf8(content({ keys: [] }))
  for (let bit = 0; bit < signed.length * 8; bit++) {
    const changed = { ...document, signed: toBase64Url(flipBit(signed, bit)) }
    assert.throws(() => openKeyDocument(provider, changed, pinned, NOW_S), unknown)
  }
  for (const member of ['root_pub', 'signed', 'signature']) {
    for (const value of [undefined, null, '', 7, {}, 'x'.repeat(2 * 1024 * 1024)]) {
      assert.throws(() => openKeyDocument(provider, setAt(document, [member], value), pinned, NOW_S), unknown)
    }
  }
  for (const value of [null, 'text', [], 7]) {
    assert.throws(() => openKeyDocument(provider, value, pinned, NOW_S), unknown)
  }
  assert.equal(openKeyDocument(provider, document, pinned, NOW_S).size, 0)
})

test('a document that readers would refuse is not signed', async () => {
  await assert.rejects(sign([published('one'), published('one')]), RangeError)
  await assert.rejects(sign([published('one')], NOW_S + 91 * DAY_S), RangeError)
  await assert.rejects(sign([{ ...published('one'), pub: new Uint8Array(5) }]), RangeError)
  assert.ok(await sign([published('one')], NOW_S + 90 * DAY_S))
})
