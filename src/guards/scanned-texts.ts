import { htmlDecode } from './html-decode.ts'
import { findJsonStrings, type JsonStrings, looksLikeJson, unicodeDecode } from './json-strings.ts'
import { percentDecode } from './percent-decode.ts'
import { type Decode, TextArena } from './text-arena.ts'

/** Characters of all texts together, for each byte of the payload. */
const TEXTS_PER_PAYLOAD = 4
/** What a short payload may take whatever its size: all its forms, with room. */
const FREE_CHARACTERS = 4_096

/** The texts that a payload may be read as. */
export interface ScannedTexts {
  readonly units: Uint16Array
  /** Each text: index of its first unit and behind its last, in turn. */
  readonly texts: readonly number[]
  /** `false` when the texts together are longer than is looked at. */
  readonly complete: boolean
}

class Collection {
  readonly arena: TextArena
  readonly texts: number[] = []
  complete = true
  readonly #limit: number

  constructor(payload: string, payloadBytes: number) {
    this.#limit = Math.max(FREE_CHARACTERS, TEXTS_PER_PAYLOAD * payloadBytes)
    this.arena = new TextArena(payload)
  }

  /** Adds a text of the arena, and the forms it can be decoded to. */
  addForms(from: number, to: number): void {
    this.texts.push(from, to)
    const [start, end] = this.#add(percentDecode, from, to)
    this.#add(percentDecode, start, end)
    this.#add(htmlDecode, from, to)
  }

  /** Adds what the strings of a JSON text say, the text itself standing at the beginning of the arena. */
  addStrings({ plain, decodable }: JsonStrings): void {
    for (const index of plain) this.texts.push(index)
    this.#checkLimit(this.arena.length)
    for (let i = 0; i < decodable.length && this.complete; i += 2) {
      this.addForms(decodable[i] as number, decodable[i + 1] as number)
    }
  }

  /** Adds another form of a text; where it is, or an empty range when there is none. */
  #add(decode: Decode, from: number, to: number): readonly [number, number] {
    const [start, end] = this.decode(decode, from, to)
    if (end > start) this.texts.push(start, end)
    return [start, end]
  }

  decode(decode: Decode, from: number, to: number): readonly [number, number] {
    const start = this.arena.length
    this.arena.reserve(to - from)
    const differs = this.complete && decode(this.arena, from, to) && this.#checkLimit(start)
    return [start, differs ? this.arena.length : start]
  }

  /** Takes back what is beyond the limit. */
  #checkLimit(start: number): boolean {
    if (this.arena.length <= this.#limit) return true
    this.complete = false
    this.arena.length = start
    return false
  }
}

/** A NUL that stands in a payload is read as a space: texts of C end in one, and binary formats are full of them. */
function withoutNul(payload: string): string {
  return payload.includes('\0') ? payload.replaceAll('\0', ' ') : payload
}

/**
 * Lists a payload as it stands; percent-decoded once and twice; and with its HTML references decoded. When it is JSON,
 * where nothing but strings can be encoded, so are its strings instead, after their escapes; when it only looks like it,
 * the whole once more with its `\uXXXX` decoded. Strings that have no other form are parts of the payload, and do not
 * count towards the limit.
 */
export function scannedTexts(payload: string, payloadBytes: number): ScannedTexts {
  const collection = new Collection(withoutNul(payload), payloadBytes)
  const { arena, texts } = collection
  const length = payload.length
  const looksSo = looksLikeJson(arena, 0, length)
  const strings = looksSo ? findJsonStrings(arena, 0, length) : undefined
  if (strings) {
    texts.push(0, length)
    collection.addStrings(strings)
  } else {
    collection.addForms(0, length)
    const [start, end] = looksSo ? collection.decode(unicodeDecode, 0, length) : [0, 0]
    if (end > start) collection.addForms(start, end)
  }
  return { units: arena.units, texts, complete: collection.complete }
}
