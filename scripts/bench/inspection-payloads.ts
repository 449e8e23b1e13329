import { Buffer } from 'node:buffer'

export interface NamedPayload {
  readonly name: string
  readonly payload: Uint8Array
}

/** Repeats text up to a number of bytes, whole characters only, and fills up with spaces. */
function fill(text: string, bytes: number): Uint8Array {
  const unit = Buffer.from(text)
  const whole = Math.floor(bytes / unit.length)
  return Buffer.concat([Buffer.from(text.repeat(whole)), Buffer.alloc(bytes - whole * unit.length, ' ')])
}

/** JSON of a number of bytes: elements of a list, spaces behind. */
function list(element: (i: number) => unknown, bytes: number): Uint8Array {
  const parts: string[] = []
  let length = 2
  for (let i = 0; ; i++) {
    const text = JSON.stringify(element(i))
    length += Buffer.byteLength(text) + 1
    if (length > bytes) break
    parts.push(text)
  }
  return Buffer.from(`[${parts.join(',')}]`.padEnd(bytes))
}

const telemetry = (i: number) => ({
  device: `sensor-${i}`,
  ts: `2026-01-01T00:00:${String(i % 60).padStart(2, '0')}Z`,
  temperature: 20.5 + i,
  humidity: 60,
  status: 'ok',
})

/** What honest clients publish. */
export function inspectionPayloads(bytes: number): readonly NamedPayload[] {
  const prose = 'The quick brown fox jumps over the lazy dog; then it is 5 pm, and the lamp is off. '
  return [
    { name: 'telemetry as JSON', payload: list(telemetry, bytes) },
    {
      name: 'JSON with escapes and addresses',
      payload: list((i) => ({ text: `line ${i}\n"a" & b`, url: `/a%20b?x=${i}` }), bytes),
    },
    { name: 'numbers', payload: fill('23.5,24.5,60,1013\n', bytes) },
    { name: 'prose', payload: fill(prose, bytes) },
    { name: 'HTML', payload: fill('<p class="x">a &amp; b &lt; c</p>\n', bytes) },
    { name: 'percent-encoded text', payload: fill('name=a%20b%2Fc&y=%25 ', bytes) },
    { name: 'Japanese', payload: fill('温度は二十五度です。', bytes) },
    { name: 'binary', payload: Uint8Array.from({ length: bytes }, (_, i) => (i * 7_919 + (i >> 3)) % 256) },
  ]
}

/** What an attacker would publish to make the inspection slow: it goes on to the end, and finds nothing. */
export function nearMisses(bytes: number): readonly NamedPayload[] {
  const texts: readonly (readonly [name: string, unit: string])[] = [
    ['quotes and spaces', `' ) ' `],
    ['key words of SQL', 'union insert into a update b select '],
    ['paths behind line ends', '\n/a/b.c/d'],
    ['open tags', '<a b="c" d '],
    ['letters of a scheme', 'j a v a s c r i p '],
    ['percent signs twice encoded', '%2525 '],
    ['overlong percent-encoding', '%c1%81'],
    ['HTML references', '&#65;&amp;'],
    ['references without an end', '&&#&#x'],
    ['lone backslashes of a JSON text', '{"\\u0061'],
    ['dots', '..a.'],
  ]
  return [
    ...texts.map(([name, unit]) => ({ name, payload: fill(unit, bytes) })),
    { name: 'brackets, one in the other', payload: Buffer.from('['.repeat(bytes / 2) + ']'.repeat(bytes / 2)) },
    { name: 'JSON of short strings', payload: list((i) => `a${i % 10}`, bytes) },
    { name: 'JSON of escapes', payload: list(() => '\u0001\n%41', bytes) },
    { name: 'bytes that are no UTF-8', payload: new Uint8Array(bytes).fill(0xff) },
  ]
}
