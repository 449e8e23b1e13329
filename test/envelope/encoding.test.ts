import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseStrictJson } from '#src/core/strict-json.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { setAt } from './fields.ts'
import { forge, open } from './forge.ts'
import { makeParties, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)

const padded = (text: string): string =>
  text
    .replaceAll('-', '+')
    .replaceAll('_', '/')
    .padEnd(Math.ceil(text.length / 4) * 4, '=')
const lenientForms: { form: string; spell: (canonical: string) => string }[] = [
  { form: 'no padding', spell: (text) => text.replace(/=+$/, '') },
  { form: 'too much padding', spell: (text) => `${text}=` },
  { form: 'the other alphabet', spell: (text) => text.replaceAll('+', '-').replaceAll('/', '_') },
  { form: 'padding bits that are not zero', spell: (text) => text.replace(/.=$/, (end) => `${after(end[0] ?? '')}=`) },
  { form: 'a line break at the end', spell: (text) => `${text}\n` },
  { form: 'a line break inside', spell: (text) => `${text.slice(0, 8)}\r\n${text.slice(8)}` },
  { form: 'a space before', spell: (text) => ` ${text}` },
  { form: 'a foreign character inside', spell: (text) => `${text.slice(0, 8)}*${text.slice(8)}` },
  { form: 'padding inside', spell: (text) => `${text.slice(0, 4)}====${text.slice(4)}` },
  { form: 'a data URL', spell: (text) => `data:;base64,${text}` },
]
/** The next character of the alphabet: same byte, other padding bits. */
function after(character: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return alphabet.charAt(alphabet.indexOf(character) + 1)
}

for (const { form, spell } of lenientForms) {
  test(`base64 with ${form} is refused, and the canonical form opens`, async () => {
    for (let tries = 0; tries < 200; tries++) {
      const envelope = await forge(parties)
      const text = envelope.encrypted.key_commitment
      if (spell(text) === text) continue // this one has no character of the other alphabet
      assert.throws(() => open(parties, setAt(envelope, ['encrypted', 'key_commitment'], spell(text))), refusal())
      assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
      return
    }
    assert.fail('no envelope to which the form applies')
  })
}

test('a header in padded or standard base64 is refused', async () => {
  const rid = ['r', 'rr', 'rrr'].find((id) => (JSON.stringify({ rid: id }).length + 2) % 3 !== 0)
  const envelope = await forge(parties, { claims: { rid: rid ?? assert.fail() } })
  const forms = [
    `${envelope.protected}=`,
    `${envelope.protected}==`,
    padded(envelope.protected),
    `${envelope.protected}\n`,
  ]
  for (const form of forms.filter((text) => text !== envelope.protected)) {
    assert.throws(() => open(parties, setAt(envelope, ['protected'], form)), refusal(), form.slice(-4))
  }
  assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
})

/** The same JSON with the members of every object in reverse order. */
function reversed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  )
}

test('the same JSON in another order, with spaces or escapes opens: the bytes behind it are signed', async () => {
  const envelope = await forge(parties)
  assert.deepEqual(open(parties, reversed(envelope)).plaintext, PLAINTEXT)
  const received = [JSON.stringify(envelope, null, 2), JSON.stringify(envelope).replaceAll('a', '\\u0061')]
  for (const text of received) assert.deepEqual(open(parties, parseStrictJson(text)).plaintext, PLAINTEXT)
})

test('duplicate members are refused by the strict parser, in front of the envelope', async () => {
  const text = JSON.stringify(await forge(parties))
  assert.throws(
    () => parseStrictJson(text.replace('"version":2', '"version":1,"version":2')),
    refusal('request.invalid'),
  )
  assert.deepEqual(open(parties, parseStrictJson(text)).plaintext, PLAINTEXT)
})
