import { htmlDecode } from './html-decode.ts'
import { findJsonStrings, type JsonStrings, looksLikeJson } from './json-strings.ts'
import { percentDecode } from './percent-decode.ts'
import { Ranges } from './ranges.ts'
import { type Decode, TextArena } from './text-arena.ts'
import { unicodeDecode } from './unicode-decode.ts'

/** Characters of all texts together, for each byte of the payload. */
const TEXTS_PER_PAYLOAD = 4
/** What a short payload may take whatever its size: all its forms, with room. */
const FREE_CHARACTERS = 4_096
const SPACE = 0x20

/** The texts that a payload may be read as. They are there until the texts of another payload are asked for. */
export interface ScannedTexts {
  readonly units: Uint16Array
  /** Each text: index of its first unit and index behind its last, in turn. */
  readonly texts: Uint32Array
  /** `false` when the texts together are longer than is looked at. */
  readonly complete: boolean
}

/** Makes each NUL that stands in the payload a space: texts of C end in one, and binary formats are full of them. */
function blankNul({ units, length }: TextArena): void {
  for (let i = 0; i < length; i++) if (units[i] === 0) units[i] = SPACE
}

class Collection {
  readonly arena = new TextArena()
  readonly texts = new Ranges()
  readonly strings: JsonStrings = { plain: new Ranges(), decodable: new Ranges() }
  complete = true
  #limit = 0

  begin(payload: Uint8Array): void {
    this.#limit = Math.max(FREE_CHARACTERS, TEXTS_PER_PAYLOAD * payload.length)
    this.complete = true
    this.arena.begin(payload)
    blankNul(this.arena)
    for (const ranges of [this.texts, this.strings.plain, this.strings.decodable]) ranges.clear()
  }

  /** Adds a text of the arena, and the forms it can be decoded to. */
  addForms(from: number, to: number): void {
    this.texts.add(from, to)
    const [start, end] = this.#add(percentDecode, from, to)
    this.#add(percentDecode, start, end)
    this.#add(htmlDecode, from, to)
  }

  /** Adds what the strings of a JSON text say, the text itself standing at the beginning of the arena. */
  addStrings(): void {
    this.texts.addAll(this.strings.plain)
    this.#checkLimit(this.arena.length)
    const { indices } = this.strings.decodable
    for (let i = 0; i < indices.length && this.complete; i += 2) {
      this.addForms(indices[i] as number, indices[i + 1] as number)
    }
  }

  /** Adds another form of a text; where it is, or an empty range when there is none. */
  #add(decode: Decode, from: number, to: number): readonly [number, number] {
    const [start, end] = this.decode(decode, from, to)
    if (end > start) this.texts.add(start, end)
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

/** One for the process: what a scan needs is made once, and not for each message. */
const collection = new Collection()

/**
 * Lists a payload as it stands; percent-decoded once and twice; and with its HTML references decoded. When it is JSON,
 * where nothing but strings can be encoded, so are its strings instead, after their escapes; when it only looks like it,
 * the whole once more with its `\uXXXX` decoded. Strings that have no other form are parts of the payload, and do not
 * count towards the limit.
 */
export function scannedTexts(payload: Uint8Array): ScannedTexts {
  collection.begin(payload)
  const { arena, texts, strings } = collection
  const { length } = arena
  const looksSo = looksLikeJson(arena, 0, length)
  if (looksSo && findJsonStrings(arena, 0, length, strings)) {
    texts.add(0, length)
    collection.addStrings()
  } else {
    collection.addForms(0, length)
    const [start, end] = looksSo ? collection.decode(unicodeDecode, 0, length) : [0, 0]
    if (end > start) collection.addForms(start, end)
  }
  return { units: arena.units, texts: texts.indices, complete: collection.complete }
}
