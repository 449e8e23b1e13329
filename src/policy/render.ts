import { type Identity, valueAt } from './identity.ts'
import type { TemplatePart, Variable } from './template.ts'
import { utf8Length } from './utf8-length.ts'

const MAX_VALUE_BYTES = 1_024
const MAX_ELEMENTS = 1_000
const UNSAFE_IN_LEVEL = /[/+#\u0000-\u001f\u007f-\u009f]/
const UNSAFE_IN_PATH = /[+#\u0000-\u001f\u007f-\u009f]/
const ENCODED = /[/+#%$\u0000-\u001f\u007f-\u009f]/g

/** The text that conditions compare a value by; `undefined` for what has none. */
export function comparableText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return String(value)
  return undefined
}

function percentEncode(character: string): string {
  const c = character.charCodeAt(0)
  const hex = (byte: number) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return c < 0x80 ? hex(c) : hex(0xc2) + hex(c) // U+0080–9F: two bytes of UTF-8, the first always C2
}

/** The text that one value puts into a pattern; `undefined` when it may not stand there. */
function usableText(value: unknown, { modifier }: Variable, first: boolean): string | undefined {
  const text = typeof value === 'string' ? value : Number.isSafeInteger(value) ? String(value) : ''
  if (text === '' || text.length > MAX_VALUE_BYTES || !text.isWellFormed()) return undefined
  if (utf8Length(text) > MAX_VALUE_BYTES) return undefined
  if (modifier === 'enc') return text.replace(ENCODED, percentEncode)
  if (first && text.startsWith('$')) return undefined
  if (modifier !== 'path') return UNSAFE_IN_LEVEL.test(text) ? undefined : text
  return UNSAFE_IN_PATH.test(text) || text.split('/').includes('') ? undefined : text
}

/**
 * The texts that a variable can stand for, each once: those of the usable elements of an `[]`. With `strict`, as deny rules need it,
 * one unusable value makes all of it unknown.
 *
 * @returns `undefined` where no value may be used: an allow drops its pattern, a deny takes any level
 */
export function variableTexts(
  variable: Variable,
  identity: Identity,
  { first, strict }: { first: boolean; strict: boolean },
): readonly string[] | undefined {
  const value = valueAt(identity, variable.path)
  if (!variable.each) {
    const text = usableText(value, variable, first)
    return text === undefined ? undefined : [text]
  }
  if (!Array.isArray(value) || value.length > MAX_ELEMENTS) return undefined
  const texts = new Set<string>()
  for (const element of value) {
    const text = usableText(element, variable, first)
    if (text !== undefined) texts.add(text)
    else if (strict) return undefined
  }
  return [...texts]
}

/**
 * The texts that parts can come to. `startsPattern`: the parts begin the pattern, where a value may not bring a `$`.
 *
 * @returns `undefined` when a variable is unusable, see `variableTexts`
 */
export function renderTexts(
  parts: readonly TemplatePart[],
  identity: Identity,
  { startsPattern, strict }: { startsPattern: boolean; strict: boolean },
): readonly string[] | undefined {
  let texts: readonly string[] = ['']
  for (const [i, part] of parts.entries()) {
    if (typeof part === 'string') {
      texts = texts.map((text) => text + part)
      continue
    }
    const values = variableTexts(part, identity, { first: startsPattern && i === 0, strict })
    if (values === undefined) return undefined
    texts = texts.flatMap((text) => values.map((value) => text + value)) // at most one variable has several values
  }
  return texts
}
