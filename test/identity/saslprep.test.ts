import assert from 'node:assert/strict'
import { test } from 'node:test'
import { saslPrep } from '#src/identity/scram/saslprep.ts'

const examples = [
  ['I\u00adX', 'IX', 'SOFT HYPHEN mapped to nothing'],
  ['user', 'user', 'no transformation'],
  ['USER', 'USER', 'case preserved'],
  ['\u00aa', 'a', 'output is NFKC'],
  ['\u2168', 'IX', 'output is NFKC, will match the first'],
  ['\u0007', undefined, 'prohibited character'],
  ['\u0627\u0031', undefined, 'bidirectional check'],
] as const
for (const [text, prepared, why] of examples) {
  test(`saslPrep: RFC 4013 §3, ${JSON.stringify(text)}: ${why}`, () => assert.equal(saslPrep(text, 'query'), prepared))
}

test('saslPrep: nothing that is left is refused, and so are unassigned code points where text is stored', () => {
  assert.equal(saslPrep('', 'query'), undefined)
  assert.equal(saslPrep('\u00ad\u200b', 'query'), undefined)
  assert.equal(saslPrep('a\u0378', 'query'), 'a\u0378')
  assert.equal(saslPrep('a\u0378', 'stored'), undefined)
  assert.equal(saslPrep('a\ud800', 'query'), undefined, 'half a surrogate pair')
  assert.equal(saslPrep('\u05d0b\u05d0', 'query'), undefined, 'both directions')
  assert.equal(saslPrep('\u05d0 1\u05d0', 'query'), '\u05d0 1\u05d0')
})

/** What an implementation on the tables of Python's `stringprep` makes of random text of Unicode 3.2. */
const independent: readonly (readonly [string, string | undefined])[] = [
  ['\u4e5a1]j\u4e4a', '\u4e5a1]j\u4e4a'],
  ['\u010c\u016b\u215b\u2177', '\u010c\u016b1\u20448viii'],
  ['V\u0667', 'V\u0667'],
  ['\u0665\u00e9', '\u0665\u00e9'],
  ['\u4e73\u4e40', '\u4e73\u4e40'],
  ['\u031d', '\u031d'],
  ['\u0635\u0625\u0637\u0636\u0641\u062c', '\u0635\u0625\u0637\u0636\u0641\u062c'],
  ['\u05e1\u05e9', '\u05e1\u05e9'],
  ['\u2172\uff5d\uff15', 'iii}5'],
  ['\u0629\u4e08', undefined],
  ['\u201a\u2043', '\u201a\u2043'],
  ['\u05e4\u2000\u05da', '\u05e4 \u05da'],
  ['\u0100\u0647\u00c5\u062e\u00bf\u0629', undefined],
  ['\u0643Rg\u062f\u4e0c\u4e74', undefined],
  ['\ufffd\u200b\u05d8\ue000\u3000', undefined],
  ['\u0302\u031b\u0302\u0335\u032b\u0309', '\u0335\u031b\u032b\u0302\u0302\u0309'],
  ['\u064a\u0624\u4e6d\u4e78', undefined],
  ['\uff4a\uff31\u05de', undefined],
  ['\u4e37\u4e7d\u4e4d\u4e6c\u4e1e\u4e19', '\u4e37\u4e7d\u4e4d\u4e6c\u4e1e\u4e19'],
  ['\u010e\u015d\u00b8\u031d\u0118\u0166', '\u010e\u015d \u0327\u031d\u0118\u0166'],
  ['Z\u4e69u4X\u4e7e', 'Z\u4e69u4X\u4e7e'],
  ['\u0622\u0627\u05e8', '\u0622\u0627\u05e8'],
  ['\u3000\ud87f\udffe', undefined],
  ['\uff2c\uff54', 'Lt'],
  ['\u0330\udb40\udc41\ufffd\ufffd', undefined],
  ['\u0335\u031f\u0155\uff25', '\u0335\u031f\u0155E'],
  ['\u05e4', '\u05e4'],
  ['\u4e47\u4e0c', '\u4e47\u4e0c'],
  ['\u05e3\u05d0\u0007\u05e6\u05db', undefined],
  ['\uff38\u0666\u0669\u0661\uff43\uff25', 'X\u0666\u0669\u0661cE'],
  ['\u0666\u0667\u0661\u0665\u0663\u0669', '\u0666\u0667\u0661\u0665\u0663\u0669'],
  ['\u05d8', '\u05d8'],
  ['\u2157', '3\u20445'],
  ['\u0661\u0128\u0666\u0668\u00b0', '\u0661\u0128\u0666\u0668\u00b0'],
  ['\uff52\u0664', 'r\u0664'],
  ['\u0661\u0662\u0669\u0663\u0660', '\u0661\u0662\u0669\u0663\u0660'],
  ['\u4e62\u4e23', '\u4e62\u4e23'],
  ['\u0630\u0624\u0623\u0640', '\u0630\u0624\u0623\u0640'],
  ['\u0663\u0312\u0665\u0304', '\u0663\u0312\u0665\u0304'],
  ['\u0646\u2160\u0628\u0643', undefined],
  ['\u0663\u0661\u0662', '\u0663\u0661\u0662'],
  ['\u200d', undefined],
  ['\u05e5\u05d3\u05db', '\u05e5\u05d3\u05db'],
  ['\u0662\u0661\u0666\u0669\u0668\u0665', '\u0662\u0661\u0666\u0669\u0668\u0665'],
  ['\u4e2e\u4e1bC\u4e3ep', '\u4e2e\u4e1bC\u4e3ep'],
  ['\u217d\u217d\u215c\u2154', 'cc3\u204482\u20443'],
  ['\u2008\u202c\u2031\u033c\u033a', undefined],
  ['\udb40\udc41', undefined],
  ['\uff4e\u05e8\uff31', undefined],
  ['\u0638\u0664\u0663\u0303\u0668', undefined],
  ['\u0637\uff38', undefined],
  ['\u00ad\u00ad\ud87f\udffe\ud87f\udffe\u00ad\uff15', undefined],
  ['\u0338\u032d\u062a', undefined],
  ['\u05e1\u0667', undefined],
  ['\u06dd\ufffd\u200b\u206d\u1806', undefined],
  ['\ufeff\u200e', undefined],
  ['@\u2063', undefined],
  ['\u2030\u05d5\u05e5\u05d1', undefined],
  ['\u200b\u4e67\u4e7c\u1806\u4e31\ufffd', undefined],
  ['\u0007\ud87f\udffe', undefined],
]

test('saslPrep: does what an independent implementation does', () => {
  assert.equal(independent.length, 60)
  for (const [text, prepared] of independent) assert.equal(saslPrep(text, 'query'), prepared, JSON.stringify(text))
})
