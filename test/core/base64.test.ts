import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '#src/core/base64.ts'

/** Runs on the codec of the engine, and on the one that older engines take. */
function onBothCodecs(run: () => void): void {
  run()
  const natives = [
    [Uint8Array, 'fromBase64'],
    [Uint8Array.prototype, 'toBase64'],
  ] as const
  const kept = natives.map(([owner, name]) => Object.getOwnPropertyDescriptor(owner, name))
  assert.ok(kept.every((descriptor) => descriptor !== undefined))
  try {
    for (const [owner, name] of natives) Reflect.deleteProperty(owner, name)
    run()
  } finally {
    for (const [i, [owner, name]] of natives.entries())
      Object.defineProperty(owner, name, kept[i] as PropertyDescriptor)
  }
}

const lenient = [
  { why: 'no padding', text: 'Zg', canonical: 'Zg==' },
  { why: 'half of the padding', text: 'Zg=', canonical: 'Zg==' },
  { why: 'padding too much', text: 'Zm9v====', canonical: 'Zm9v' },
  { why: 'padding bits, two characters', text: 'Zh==', canonical: 'Zg==' },
  { why: 'padding bits, three characters', text: 'Zm9=', canonical: 'Zm8=' },
  { why: 'the other alphabet', text: '-_-_', canonical: '+/+/' },
  { why: 'white space inside', text: 'Zm9v\r\n\r\nZm9v', canonical: 'Zm9vZm9v' },
  { why: 'white space around', text: '  Zm9v\n ', canonical: 'Zm9v' },
  { why: 'more behind the padding', text: 'Zg==Zg==', canonical: 'ZmY=' },
  { why: 'a character of no alphabet', text: 'Zm9*', canonical: 'Zm9v' },
  { why: 'a letter that only looks like one', text: '\uff3am9v', canonical: 'Zm9v' },
]
for (const { why, text, canonical } of lenient) {
  test(`E15: base64 with ${why} is refused, the canonical spelling is not`, () => {
    onBothCodecs(() => {
      assert.equal(fromBase64(text), undefined)
      assert.deepEqual(fromBase64(canonical), new Uint8Array(Buffer.from(canonical, 'base64')))
    })
  })
}

const lenientUrl = [
  { why: 'padding', text: 'Zg==', canonical: 'Zg' },
  { why: 'padding bits', text: 'Zh', canonical: 'Zg' },
  { why: 'the other alphabet', text: '+/+/', canonical: '-_-_' },
  { why: 'white space', text: 'Zm9v\n', canonical: 'Zm9v' },
  { why: 'one character left over', text: 'Zm9vA', canonical: 'Zm9v' },
]
for (const { why, text, canonical } of lenientUrl) {
  test(`E15: base64url with ${why} is refused, the canonical spelling is not`, () => {
    onBothCodecs(() => {
      assert.equal(fromBase64Url(text), undefined)
      assert.deepEqual(fromBase64Url(canonical), new Uint8Array(Buffer.from(canonical, 'base64url')))
    })
  })
}

test('every byte sequence has one spelling, and comes back from it', () => {
  onBothCodecs(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.equal(toBase64(bytes), Buffer.from(bytes).toString('base64'))
        assert.equal(toBase64Url(bytes), Buffer.from(bytes).toString('base64url'))
        assert.deepEqual(fromBase64(toBase64(bytes)), new Uint8Array(bytes))
        assert.deepEqual(fromBase64Url(toBase64Url(bytes)), new Uint8Array(bytes))
      }),
    ),
  )
})

test('whatever is read is written the same way again', () => {
  let read = 0
  const characters = fc.constantFrom(...'AZaz09+/=-_ \n'.split(''))
  onBothCodecs(() =>
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 12 }), (text) => {
        const [standard, url] = [fromBase64(text), fromBase64Url(text)]
        if (standard) assert.equal(toBase64(standard), text)
        if (url) assert.equal(toBase64Url(url), text)
        if (standard || url) read++
      }),
      { numRuns: 1000 },
    ),
  )
  assert.ok(read > 10)
})
