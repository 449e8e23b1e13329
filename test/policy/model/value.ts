import type { Identity } from '#src/policy/identity.ts'
import type { Variable } from './pattern.ts'

/** What a variable stands for: texts, one alternative each, or any one level, which only a deny may get. */
export type VariableValue = readonly string[] | 'any'

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const MAX_VALUE_BYTES = 1024
const MAX_ELEMENTS = 1000

/** Follows a dotted path through own members. */
export function memberAt(identity: Identity, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    return (value as Record<string, unknown>)[name]
  }, identity)
}

function percentEncoded(text: string): string {
  return text.replace(/[/+#%$\u0000-\u001f\u007f-\u009f]/g, (c) =>
    [...Buffer.from(c)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

function isLevelText(text: string): boolean {
  return text !== '' && !/[/+#]/.test(text) && !CONTROL.test(text)
}

/** The text of one value; `undefined` where it is not usable. `isFirst`: nothing stands before it in its pattern. */
export function usableText(value: unknown, modifier: Variable['modifier'], isFirst: boolean): string | undefined {
  const text = Number.isSafeInteger(value) ? String(value) : value
  if (typeof text !== 'string' || text === '' || !text.isWellFormed()) return undefined
  if (Buffer.byteLength(text) > MAX_VALUE_BYTES) return undefined
  if (modifier === 'enc') return percentEncoded(text)
  const levels = modifier === 'path' ? text.split('/') : [text]
  if (!levels.every(isLevelText)) return undefined
  return isFirst && text.startsWith('$') ? undefined : text
}

/** The texts that a variable stands for in a rule of this effect, by the table of the specification. */
export function variableValue(
  { path, isList, modifier }: Variable,
  identity: Identity,
  effect: 'allow' | 'deny',
  isFirst: boolean,
): VariableValue {
  const unusable = effect === 'deny' ? 'any' : []
  const value = memberAt(identity, path)
  if (isList && (!Array.isArray(value) || value.length > MAX_ELEMENTS)) return unusable
  const elements: readonly unknown[] = isList ? (value as unknown[]) : [value]
  const texts = elements.map((element) => usableText(element, modifier, isFirst))
  const usable = texts.filter((text) => text !== undefined)
  return usable.length < texts.length && effect === 'deny' ? 'any' : usable
}
