/** One element of DER: its tag octet, what is in it, and all of it. */
export interface DerElement {
  readonly tag: number
  readonly content: Uint8Array
  readonly whole: Uint8Array
}

/** Bytes that are no DER, or not the element that belongs there. */
export class DerError extends Error {
  override readonly name = 'DerError'
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  universalString: 0x1c,
  sequence: 0x30,
  set: 0x31,
} as const

function fail(problem: string): never {
  throw new DerError(problem)
}

/** Reads elements one behind the other; strict: definite and shortest lengths, tags of one octet (X.690 §10.1). */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  #octet(): number {
    return this.#bytes[this.#at++] ?? fail('ends early')
  }

  #length(): number {
    const first = this.#octet()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > 4) fail('a length that is indefinite or too long')
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#octet()
    if (length < 0x80 || length < 256 ** (count - 1)) fail('a length in more octets than it needs')
    return length
  }

  /** The next element, whatever it is. */
  any(): DerElement {
    const start = this.#at
    const tag = this.#octet()
    if ((tag & 0x1f) === 0x1f) fail('a tag of several octets')
    const length = this.#length()
    const end = this.#at + length
    if (end > this.#bytes.length) fail('ends early')
    const element = { tag, content: this.#bytes.subarray(this.#at, end), whole: this.#bytes.subarray(start, end) }
    this.#at = end
    return element
  }

  /** The next element, which must have this tag. */
  expect(tag: number): DerElement {
    const element = this.any()
    return element.tag === tag ? element : fail(`tag ${element.tag} in place of ${tag}`)
  }

  /** The next element if it has this tag; otherwise nothing is read. */
  optional(tag: number): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.any() : undefined
  }

  end(): void {
    if (!this.isAtEnd) fail('something behind the end')
  }
}

/** The elements in a SEQUENCE, a SET or a tagged element. */
export function elementsOf({ content }: DerElement): DerElement[] {
  const reader = new DerReader(content)
  const elements: DerElement[] = []
  while (!reader.isAtEnd) elements.push(reader.any())
  return elements
}

/** An object identifier in dots; arcs are at most 2^53 − 1. */
export function oidOf({ content }: DerElement): string {
  const arcs: number[] = []
  let arc = 0
  let isStart = true
  for (const octet of content) {
    if (isStart && octet === 0x80) fail('an arc in more octets than it needs')
    arc = arc * 128 + (octet & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER) fail('an arc that is too large')
    isStart = octet < 0x80
    if (isStart) {
      arcs.push(arc)
      arc = 0
    }
  }
  const [first] = arcs
  if (first === undefined || !isStart) fail('an object identifier that ends early')
  const top = Math.min(Math.floor(first / 40), 2)
  return [top, first - top * 40, ...arcs.slice(1)].join('.')
}

/** A BOOLEAN: 0xff or 0x00. */
export function booleanOf({ content }: DerElement): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) fail('a boolean that is neither')
  return content[0] === 0xff
}

/** An INTEGER from 0 to 2^31 − 1, in its shortest form. */
export function smallNumberOf({ content }: DerElement): number {
  const [first = 0x80, second = 0] = content
  if (content.length > 4 || first >= 0x80 || (content.length > 1 && first === 0 && second < 0x80))
    fail('a number that is out of bounds')
  return content.reduce((value, octet) => value * 256 + octet, 0)
}

/** The bits of a BIT STRING of names, first bit first; none where it is shorter. Bits behind its end are zero (X.690 §11.2.1). */
export function bitsOf({ content }: DerElement): (bit: number) => boolean {
  const [unused = 8, ...octets] = content
  if (unused > 7 || (octets.length === 0 && unused > 0)) fail('a bit string that is none')
  if (((octets.at(-1) ?? 0) & ((1 << unused) - 1)) !== 0) fail('a bit string with bits behind its end')
  return (bit) => ((octets[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0
}

function decodeStrictly(encoding: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (err) {
    if (!(err instanceof TypeError)) throw err
    return fail('text in another encoding than it says')
  }
}

function asciiOf(bytes: Uint8Array): string {
  if (bytes.some((octet) => octet >= 0x80)) fail('text that is not ASCII')
  return decodeStrictly('utf-8', bytes)
}

/** The text of a DirectoryString (RFC 5280 §4.1.2.4) or IA5String. TeletexString is none: nobody agrees what it says. */
export function directoryText({ tag, content }: DerElement): string {
  if (tag === tags.utf8String) return decodeStrictly('utf-8', content)
  if (tag === tags.bmpString) return decodeStrictly('utf-16be', content)
  if (tag === tags.printableString || tag === tags.ia5String || tag === tags.numericString) return asciiOf(content)
  return fail('text of a kind that is not read')
}

/**
 * Unix milliseconds of a time to the second in UTC (RFC 5280 §4.1.2.5). Of one that there is not, a 30th of February, Node's
 * `validFromDate` and `validToDate` say whatever was in memory.
 */
export function timeOf({ tag, content }: DerElement): number {
  const text = asciiOf(content)
  const century = tag === tags.generalizedTime ? '' : text < '50' ? '20' : '19'
  const isTime = tag === tags.utcTime || tag === tags.generalizedTime
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  const iso = `${century}${text}`.replace(digits, '$1-$2-$3T$4:$5:$6.000Z')
  const at = new Date(iso)
  if (!isTime || Number.isNaN(at.getTime()) || at.toISOString() !== iso) fail('a time that is none')
  return at.getTime()
}

export const ia5Text = ({ content }: DerElement): string => asciiOf(content)
