import type { Effect } from '../document.ts'
import { quote } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'

/** A piece of the text behind `topic/`, `topicfilter/` or `client/`. */
export type ResourcePiece = string | { readonly wild: '*' | '?' } | { readonly variable: string }

export interface AwsResource {
  readonly path: string
  /** As written. */
  readonly text: string
  /** `any`: every resource there is. `other`: things, jobs and the like. */
  readonly kind: 'topic' | 'topicfilter' | 'client' | 'any' | 'other'
  readonly pieces: readonly ResourcePiece[]
}

const variables: Readonly<Record<string, string>> = {
  'iot:ClientId': 'clientId',
  'iot:Certificate.Subject.CommonName': 'cert.cn',
  'iot:Certificate.SerialNumber': 'cert.serial',
}
const KINDS = ['topic', 'topicfilter', 'client'] as const
const PIECE = /\$\{([^{}]*)\}|([*?])/

/** Splits at `*`, `?` and `${…}`; `${*}`, `${?}` and `${$}` are the characters themselves. */
function piecesOf(text: string, path: string, draft: ImportDraft): readonly ResourcePiece[] | undefined {
  const pieces: ResourcePiece[] = []
  const parts = text.split(PIECE)
  for (let i = 0; i < parts.length; i += 3) {
    const [literal = '', name, wild] = parts.slice(i, i + 3)
    if (literal.includes('${')) return draft.refuse(path, `${quote(text)}: \${ without its }`)
    if (literal !== '') pieces.push(literal)
    if (wild === '*' || wild === '?') pieces.push({ wild })
    if (name === undefined) continue
    const variable = Object.hasOwn(variables, name) ? variables[name] : undefined
    if (['*', '?', '$'].includes(name)) pieces.push(name)
    else if (variable !== undefined) pieces.push({ variable })
    else
      return draft.refuse(
        path,
        `\${${name.slice(0, 64)}} is not known here; known are ${Object.keys(variables).join(', ')}`,
      )
  }
  return pieces
}

/** Reads one resource of a statement: `*`, or an ARN of AWS IoT. */
export function readResource(text: string, path: string, draft: ImportDraft): AwsResource | undefined {
  const any: AwsResource = { path, text, kind: 'any', pieces: [{ wild: '*' }] }
  if (text === '*') return any
  const [arn, , service, , , ...rest] = text.split(':')
  if (arn !== 'arn' || service !== 'iot' || rest.length === 0)
    return draft.refuse(path, `${quote(text)} is no ARN of the form arn:aws:iot:REGION:ACCOUNT:topic/…`)
  const name = rest.join(':')
  if (name === '*') return any
  const slash = name.indexOf('/')
  const type = slash === -1 ? name : name.slice(0, slash)
  if (/[*?]/.test(type))
    return draft.refuse(
      path,
      `${quote(type)} stands for several kinds of resource; write topic/…, topicfilter/… and client/… apart`,
    )
  const kind = KINDS.find((one) => one === type)
  if (!kind) return { path, text, kind: 'other', pieces: [] }
  if (slash === -1) return draft.refuse(path, `${quote(text)}: ${kind} is followed by / and a name`)
  const pieces = piecesOf(name.slice(slash + 1), path, draft)
  return pieces && { path, text, kind, pieces }
}

/** Writes text so that it stands for itself in a regular expression of a policy. */
export function quoteRegex(text: string): string {
  // `$` in a class, because `$` and a variable behind it would be read as a literal `${`
  return text.replace(/[\\^.|?*+()[\]{}]/g, '\\$&').replaceAll('$', () => '[$]')
}

/** Any character: `.` leaves out line separators, which an allow may and a deny may not. */
function anyCharacter(effect: Effect): string {
  return effect === 'allow' ? '.' : '[\\d\\D]'
}

/** Writes pieces as a regular expression; variables by `written`. */
export function regexOf(
  pieces: readonly ResourcePiece[],
  effect: Effect,
  written: (variable: string) => string,
): string {
  const any = anyCharacter(effect)
  return pieces
    .map((piece) => {
      if (typeof piece === 'string') return quoteRegex(piece)
      return 'variable' in piece ? written(piece.variable) : piece.wild === '*' ? `${any}*` : any
    })
    .join('')
}
