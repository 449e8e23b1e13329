import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '#src/core/base64.ts'
import { copyBytes, decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { createDecoy } from '#src/identity/scram/decoy.ts'
import { challenge, judgeProof, verifyFinal } from '#src/identity/scram/exchange.ts'
import { MAX_SCRAM_MESSAGE_BYTES, parseClientFinal, parseClientFirst } from '#src/identity/scram/messages.ts'
import {
  createScramVerifier,
  deriveScramKeys,
  formatScramVerifier,
  parseScramVerifier,
  type ScramHash,
  scramMemberSchema,
} from '#src/identity/scram/verifier.ts'
import { scramClient } from '#test/support/scram-client.ts'

interface PostgresSession {
  response: string
}
/** What the driver of PostgreSQL has of SCRAM-SHA-256; without declarations. */
const sasl = createRequire(import.meta.url)('pg/lib/crypto/sasl.js') as {
  startSession(mechanisms: string[]): PostgresSession
  continueSession(session: PostgresSession, password: string, serverFirst: string): Promise<void>
  finalizeSession(session: PostgresSession, serverFinal: string): void
}

const bytesOf = (base64: string) => fromBase64(base64) ?? assert.fail('not base64')

function firstOf(text: string) {
  const first = parseClientFirst(utf8(text))
  return 'problem' in first ? assert.fail(first.problem) : first
}

/** Conversations that were not made by this code: RFC 7677 §3, and two of SHA-512 by Python's `hashlib` and `hmac`. */
const conversations = [
  {
    from: 'RFC 7677 §3',
    method: 'SCRAM-SHA-256',
    username: 'user',
    password: 'pencil',
    stored:
      'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
    clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
    serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    clientFinal:
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
  {
    from: 'Python, the same of SHA-512',
    method: 'SCRAM-SHA-512',
    username: 'user',
    password: 'pencil',
    stored:
      'SCRAM-SHA-512$4096:W22ZaJ0SNY7soEsUEjb6gQ==$6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==:jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==',
    clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
    serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    clientFinal:
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==',
    serverFinal: 'v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==',
  },
  {
    from: 'Python, a name that is escaped, a password to prepare, flag y',
    method: 'SCRAM-SHA-512',
    username: 'd,evice=1',
    password: 'p\u00e4ssword\u00a0\u2168',
    stored:
      'SCRAM-SHA-512$10000:AAECAwQFBgcICQoLDA0ODw==$tOsUCEK/iCFAGhHz/0om7+fLQMDAnPo3w7WgjnDK8aa/BgMy9jCVSppPRd3vQxihUHV+tDqOR98vDC9F7hxAGw==:sRziWyCPqhGSOPebbKZ9TO5Syfa4QaecJUig+gxuM6piMWG794vEaHWL3ew80OAqlrZmre4itconpyAUDUx+zQ==',
    clientFirst: 'y,,n=d=2Cevice=3D1,r=fyko+d2lbbFgONRv9qkxdawL',
    serverNonce: '8Zq3yGmT0sVbQwXcNfLh',
    serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL8Zq3yGmT0sVbQwXcNfLh,s=AAECAwQFBgcICQoLDA0ODw==,i=10000',
    clientFinal:
      'c=eSws,r=fyko+d2lbbFgONRv9qkxdawL8Zq3yGmT0sVbQwXcNfLh,p=jcRzBpjcch+hyKAmyij0tw1+sAoOqI2m9I9j4RnPJHZbhvFJwDDquB8pmxeN0RhHeyd4Kyn68n2P9aDYAtXQeg==',
    serverFinal: 'v=nY/sR7fQquUsu18V8FGc1aVrtooOTfawIaS9qy/268Hj7dmpSJgvghdilfZMCKpLiH6YCd9oZrOVltb9YwJWrQ==',
  },
] as const

for (const one of conversations) {
  test(`SCRAM: ${one.from}`, async () => {
    const verifier = parseScramVerifier(one.stored) ?? assert.fail('no verifier')
    assert.deepEqual(await createScramVerifier(one.method, one.password, verifier), verifier)
    assert.equal(formatScramVerifier(verifier), one.stored)
    const first = firstOf(one.clientFirst)
    assert.equal(first.username, one.username)
    const challenged = challenge(first, verifier, one.serverNonce)
    assert.equal(challenged.serverFirst, one.serverFirst)
    const verdict = verifyFinal(challenged, utf8(one.clientFinal))
    assert.equal('problem' in verdict ? verdict.problem : decodeUtf8(verdict.serverFinal), one.serverFinal)
  })

  test(`SCRAM: ${one.from}, with any bit of the proof turned`, () => {
    const verifier = parseScramVerifier(one.stored) ?? assert.fail('no verifier')
    const challenged = challenge(firstOf(one.clientFirst), verifier, one.serverNonce)
    const at = one.clientFinal.indexOf(',p=') + 3
    const proof = bytesOf(one.clientFinal.slice(at))
    let turned = 0
    for (let bit = 0; bit < proof.length * 8; bit++) {
      const other = copyBytes(proof)
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const verdict = verifyFinal(challenged, utf8(one.clientFinal.slice(0, at) + toBase64(other)))
      assert.deepEqual(verdict, { problem: 'a wrong proof', wrongProof: true })
      turned++
    }
    assert.equal(turned, one.method === 'SCRAM-SHA-256' ? 256 : 512)
  })
}

test('SCRAM: the vector of RFC 5802 §5, whose SHA-1 no method here has, goes through the same code', async () => {
  const sha1 = 'sha1' as ScramHash
  const salt = bytesOf('QSXCR+Q6sek8bf92')
  const keys = await deriveScramKeys(sha1, 'pencil', { salt, iterations: 4096 })
  const first = firstOf('n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL')
  const verifier = { method: 'SCRAM-SHA-256', iterations: 4096, salt, ...keys } as const
  const { serverFirst } = challenge(first, verifier, '3rfcNHYJY1ZVvWVs7j')
  assert.equal(serverFirst, 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096')
  const final = parseClientFinal(
    utf8('c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts='),
  )
  if ('problem' in final) assert.fail(final.problem)
  const signature = judgeProof(sha1, keys, `${first.bare},${serverFirst},${final.withoutProof}`, final.proof)
  assert.equal(signature && toBase64(signature), 'rmF9pqV8S7suAoZWja4dJRkFsKQ=')
})

test('SCRAM: the client of the PostgreSQL driver gets in, and believes our signature', async () => {
  const salt = copyBytes(randomBytes(16))
  const verifier = await createScramVerifier('SCRAM-SHA-256', 'pén\u00adcil', { salt, iterations: 4096 })
  assert.ok(verifier)
  for (const [password, isRight] of [
    ['pén\u00adcil', true],
    ['pencil', false],
  ] as const) {
    const session = sasl.startSession(['SCRAM-SHA-256'])
    const challenged = challenge(firstOf(session.response), verifier, randomBytes(18).toString('base64'))
    await sasl.continueSession(session, password, challenged.serverFirst)
    const verdict = verifyFinal(challenged, utf8(session.response))
    assert.equal('serverFinal' in verdict, isRight)
    if ('serverFinal' in verdict) sasl.finalizeSession(session, decodeUtf8(verdict.serverFinal))
  }
})

const refusedFirst = [
  ['', 'nothing'],
  ['n', 'ends early'],
  ['n,,', 'no name'],
  ['n,,n=user', 'no nonce'],
  ['n,,r=abc,n=user', 'the wrong order'],
  ['n,,n=user,r=', 'an empty nonce'],
  ['n,,n=user,r=a b', 'a nonce with a space'],
  ['n,,n=user,r=é', 'a nonce that is not ASCII'],
  [`n,,n=user,r=${'a'.repeat(257)}`, 'a nonce that is too long'],
  ['n,,n=,r=abc', 'an empty name'],
  ['n,,n=us=er,r=abc', 'a bare equals sign'],
  ['n,,n=us=2cer,r=abc', 'an escape in lower case'],
  ['n,,n=us\u0007er,r=abc', 'a control character'],
  ['n,,n=us\0er,r=abc', 'NUL'],
  ['n,,n=user,r=abc,x', 'an extension that is none'],
  ['n,,n=user,r=abc,', 'an empty extension'],
  ['m=1,,n=user,r=abc', 'an extension in place of the flag'],
  ['n,,m=1,n=user,r=abc', 'a mandatory extension (RFC 5802 §5.1)'],
  ['n,,n=user,r=abc,x=1,m=1', 'a mandatory extension behind others'],
  ['p=tls-unique,,n=user,r=abc', 'channel binding, which is not offered'],
  ['p=tls-exporter,,n=user,r=abc', 'channel binding, which is not offered'],
  ['p,,n=user,r=abc', 'a flag without a name'],
  ['N,,n=user,r=abc', 'a flag in capitals'],
  ['n,a=admin,n=user,r=abc', 'acting for somebody else'],
  ['n,admin,n=user,r=abc', 'an authorisation identity that is none'],
  [`n,,n=${'u'.repeat(MAX_SCRAM_MESSAGE_BYTES)},r=abc`, 'too long'],
] as const
for (const [text, why] of refusedFirst) {
  test(`SCRAM: a first message is refused: ${why}`, () => assert.ok('problem' in parseClientFirst(utf8(text))))
}

test('SCRAM: a first message may name itself twice, hold commas, say y, and have extensions that nobody must know', () => {
  const first = firstOf('y,a=d=2C1,n=d=2C1,r=abc,x=1,y=a=b')
  assert.deepEqual(first, { gs2Header: 'y,a=d=2C1,', bare: 'n=d=2C1,r=abc,x=1,y=a=b', username: 'd,1', nonce: 'abc' })
  assert.deepEqual(parseClientFirst(utf8('n,,m=1,n=user,r=abc')), { problem: 'a mandatory extension' })
  assert.ok('problem' in parseClientFirst(Uint8Array.of(0x6e, 0x2c, 0x2c, 0x6e, 0x3d, 0xff)), 'not UTF-8')
})

test('SCRAM: a last message is refused for every member that is not what it must be', async () => {
  const verifier = await createScramVerifier('SCRAM-SHA-256', 'pencil', {
    salt: copyBytes(randomBytes(16)),
    iterations: 4096,
  })
  assert.ok(verifier)
  const client = scramClient('SCRAM-SHA-256', 'user', 'pencil')
  const challenged = challenge(firstOf(client.first.toString()), verifier, 'a'.repeat(24))
  const { final, signature } = client.answer(utf8(challenged.serverFirst))
  const good = verifyFinal(challenged, final)
  assert.equal('serverFinal' in good && decodeUtf8(good.serverFinal), signature)
  const text = final.toString()
  const more = client.answer(utf8(challenged.serverFirst), 'x=1').final
  assert.ok('serverFinal' in verifyFinal(challenged, more), 'an extension that nobody must know')
  const bad = {
    'another nonce': text.replace(',r=fyko', ',r=fykp'),
    'the nonce of the client alone': text.replace('a'.repeat(24), ''),
    'the flag of another header': text.replace('c=biws', 'c=eSws'),
    'channel binding': text.replace('c=biws', 'c=cD10bHMtdW5pcXVlLCw='),
    'a header in base64 that is not canonical': text.replace('c=biws', 'c=biwt'),
    'no proof': text.replace(/,p=.*/, ''),
    'an empty proof': text.replace(/,p=.*/, ',p='),
    'a short proof': text.replace(/,p=.*/, ',p=AAAA'),
    'a proof of SHA-512': text.replace(/,p=.*/, `,p=${'A'.repeat(86)}==`),
    'a proof that is not base64': text.replace(/,p=.*/, ',p=????'),
    'something behind the proof': `${text},x=1`,
    'an extension that was not signed': text.replace(',p=', ',x=1,p='),
    'a mandatory extension': client.answer(utf8(challenged.serverFirst), 'm=1').final.toString(),
    'an extension that is none': text.replace(',p=', ',xyz,p='),
    'another order': text.replace(/^(c=biws),(r=[^,]+)/, '$2,$1'),
    'too long': text.replace(',p=', `,x=${'a'.repeat(MAX_SCRAM_MESSAGE_BYTES)},p=`),
  }
  for (const [why, message] of Object.entries(bad)) {
    assert.notEqual(message, text, why)
    assert.ok('problem' in verifyFinal(challenged, utf8(message)), why)
  }
})

test('SCRAM: a client that signs another flag than it sent is refused: somebody between took its binding away', async () => {
  const salt = copyBytes(randomBytes(16))
  const verifier = await createScramVerifier('SCRAM-SHA-256', 'pencil', { salt, iterations: 4096 })
  assert.ok(verifier)
  for (const header of ['n,,', 'y,,', 'p=tls-exporter,,', 'n,a=user,', '']) {
    const client = scramClient('SCRAM-SHA-256', 'user', 'pencil', 'abc', header)
    const challenged = challenge(firstOf(client.first.toString()), verifier, 'a'.repeat(24))
    const verdict = verifyFinal(challenged, client.answer(utf8(challenged.serverFirst)).final)
    if (header === 'n,,') assert.ok('serverFinal' in verdict)
    else assert.deepEqual(verdict, { problem: 'another channel binding' })
  }
})

test('SCRAM: no bytes make the parsers throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.string().map(utf8)), (bytes) => {
      parseClientFirst(bytes)
      parseClientFinal(bytes)
    }),
    { numRuns: 2_000 },
  )
})

test('SCRAM: stored verifiers are read in the form of RFC 5803 alone, within bounds', () => {
  const [{ stored }] = conversations
  const sized = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64')
  const bad = [
    stored.replace('SCRAM-SHA-256', 'SCRAM-SHA-1'),
    stored.replace('SCRAM-SHA-256', 'SCRAM-SHA-512'),
    stored.replace('$4096:', '$4095:'),
    stored.replace('$4096:', '$1000001:'),
    stored.replace('$4096:', '$04096:'),
    stored.replace('W22ZaJ0SNY7soEsUEjb6gQ==', sized(15)),
    stored.replace('W22ZaJ0SNY7soEsUEjb6gQ==', sized(65)),
    stored.replace('W22ZaJ0SNY7soEsUEjb6gQ==', 'W22ZaJ0SNY7soEsUEjb6gR=='),
    stored.replace(/:[^:]+$/, `:${sized(31)}`),
    `${stored}\n`,
    ` ${stored}`,
    'pencil',
    '',
  ]
  for (const text of bad) assert.equal(parseScramVerifier(text), undefined, text)
  assert.ok(parseScramVerifier(stored.replace('W22ZaJ0SNY7soEsUEjb6gQ==', sized(64))))
  assert.equal(scramMemberSchema.safeParse([stored, conversations[1].stored]).success, true)
  assert.equal(scramMemberSchema.safeParse([stored, stored]).success, false, 'two of one method')
  const refused = scramMemberSchema.safeParse(['pencil'])
  assert.equal(refused.error?.issues[0]?.message.includes('pencil'), false, 'a problem does not print what is stored')
})

test('SCRAM: a password that SASLprep refuses has no verifier', async () => {
  for (const password of ['', '\u00ad', 'a\u0007', 'a\u0378']) {
    assert.equal(await createScramVerifier('SCRAM-SHA-256', password, { salt: new Uint8Array(16) }), undefined)
  }
})

test('SCRAM: a decoy is the same for a name each time, and another for every name, method and key', () => {
  const decoy = createDecoy(Buffer.alloc(32, 7))
  const salts = new Set<string>()
  for (let i = 0; i < 1_000; i++) {
    for (const method of ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
      const one = decoy(method, `user-${i}`)
      assert.deepEqual(createDecoy(Buffer.alloc(32, 7))(method, `user-${i}`), one)
      assert.equal(one.salt.length, 16)
      assert.ok(parseScramVerifier(formatScramVerifier(one)), 'it looks like any other')
      salts.add(toBase64(one.salt))
    }
  }
  assert.equal(salts.size, 2_000)
  assert.notDeepEqual(createDecoy(Buffer.alloc(32, 8))('SCRAM-SHA-256', 'user-1'), decoy('SCRAM-SHA-256', 'user-1'))
  assert.throws(() => createDecoy(Buffer.alloc(31)), TypeError)
})
