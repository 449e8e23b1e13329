import type { SetCondition, TextCondition, WhenDocument } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { isInNet } from './ip-net.ts'
import { type Aliases, resolveAlias } from './pattern.ts'
import { memberAt } from './value.ts'

const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T])

/** `*` stands for any text; all else is text. */
function globMatches(glob: string, text: string): boolean {
  const pieces = glob.split('*').map((piece) => piece.replace(/[\\^$.?|+()[\]{}/]/g, '\\$&'))
  return new RegExp(`^${pieces.join('[^]*')}$`, 'u').test(text)
}

function regexMatches(regex: string, mode: 'full' | 'search', text: string): boolean {
  const [flags, source] = regex.startsWith('(?i)') ? ['iu', regex.slice(4)] : ['u', regex]
  return new RegExp(mode === 'search' ? source : `^(?:${source})$`, flags).test(text)
}

/** The comparison of one value of the identity. `null` counts as missing. */
function textHolds(condition: TextCondition, value: unknown): boolean {
  if (typeof condition === 'object' && 'exists' in condition)
    return ((value ?? undefined) !== undefined) === condition.exists
  if (typeof condition === 'object' && 'not' in condition) return !textHolds(condition.not, value)
  const isText = typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value)
  if (!isText) return false
  const text = String(value)
  if (typeof condition === 'string') return text === condition
  if ('eq' in condition) return text === condition.eq
  if ('in' in condition) return condition.in.includes(text)
  if ('glob' in condition) return globMatches(condition.glob, text)
  return regexMatches(condition.regex, condition.mode ?? 'full', text)
}

function setHolds(condition: SetCondition, value: unknown): boolean {
  const own: readonly unknown[] = Array.isArray(value) ? value : []
  if (!('length' in condition)) {
    const { anyOf, allOf, noneOf, anyPrefix } = condition
    const startsWith = (prefix: string) => own.some((name) => typeof name === 'string' && name.startsWith(prefix))
    return (
      (anyOf === undefined || anyOf.some((name) => own.includes(name))) &&
      (allOf === undefined || allOf.every((name) => own.includes(name))) &&
      (noneOf === undefined || !noneOf.some((name) => own.includes(name))) &&
      (anyPrefix === undefined || anyPrefix.some(startsWith))
    )
  }
  return condition.some((name) => own.includes(name))
}

/** Whether all conditions on the identity hold. */
export function whenHolds(when: WhenDocument, identity: Identity, aliases: Aliases): boolean {
  const holds = (inner: WhenDocument) => whenHolds(inner, identity, aliases)
  return Object.entries(when).every(([key, condition]) => {
    switch (key) {
      case 'anyOf':
        return (condition as WhenDocument[]).some(holds)
      case 'allOf':
        return (condition as WhenDocument[]).every(holds)
      case 'noneOf':
        return !(condition as WhenDocument[]).some(holds)
      case 'type':
      case 'auth':
      case 'listener':
      case 'protocol':
        return listOf(condition).includes(identity[key])
      case 'tls':
        return (identity.tls ?? false) === condition
      case 'ip':
        return listOf(condition as string | readonly string[]).some((net) => isInNet(identity.ip, net))
      case 'groups':
      case 'roles':
      case 'scopes':
        return setHolds(condition as SetCondition, identity[key])
      default:
        return textHolds(condition as TextCondition, memberAt(identity, resolveAlias(key, aliases)))
    }
  })
}
