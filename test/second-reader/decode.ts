/** A second reader of the format, written from openapi/envelope.md with modules of Node alone. It shares no code with src/. */

export type Code =
  | 'envelope.rejected'
  | 'envelope.issuer_unknown'
  | 'envelope.mismatch'
  | 'envelope.stale'
  | 'envelope.replay'

/** What the page calls an error. */
export class Refused extends Error {
  readonly code: Code
  constructor(code: Code = 'envelope.rejected') {
    super(code)
    this.code = code
  }
}

/** Throws the one error unless the condition holds. */
export function must(condition: boolean): asserts condition {
  if (!condition) throw new Refused()
}

export type Members = Record<string, unknown>

/** The value, if it is an object with these members and no others. */
export function objectWith(value: unknown, names: string): Members {
  must(typeof value === 'object' && value !== null && !Array.isArray(value))
  must(Object.keys(value).toSorted().join(' ') === names.split(' ').toSorted().join(' '))
  return value as Members
}

export function text(value: unknown): string {
  must(typeof value === 'string')
  return value
}

/** Canonical base64 or base64url of `least` to `most` bytes. */
export function bytesOf(value: unknown, encoding: 'base64' | 'base64url', least: number, most = least): Buffer {
  const encoded = text(value)
  must(encoded.length <= most * 2 + 4)
  const decoded = Buffer.from(encoded, encoding)
  must(decoded.toString(encoding) === encoded)
  must(decoded.length >= least && decoded.length <= most)
  return decoded
}

export function integer(value: unknown, least: number, most: number): number {
  must(typeof value === 'number' && Number.isInteger(value) && !Object.is(value, -0))
  must(value >= least && value <= most)
  return value
}

export function u32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

export function lengthPrefixed(bytes: Uint8Array | string): Buffer {
  const own = Buffer.from(bytes as Uint8Array)
  return Buffer.concat([u32(own.length), own])
}

export function labelled(label: string, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`${label}\0`, 'latin1'), ...parts])
}
