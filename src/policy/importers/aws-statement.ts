import type { Effect } from '../document.ts'
import { quote, Reader } from '../problems.ts'
import { type AwsResource, quoteRegex, readResource } from './aws-resource.ts'
import type { ImportDraft } from './import-draft.ts'
import { refuseUnknown, requireMembers, textsOf } from './read-source.ts'

const MAX_LIST = 5_000

/** The actions that are about topics, with the kind of resource that each is for. */
export const resourceKinds = {
  'iot:Publish': 'topic',
  'iot:RetainPublish': 'topic',
  'iot:Receive': 'topic',
  'iot:Subscribe': 'topicfilter',
  'iot:Connect': 'client',
} as const
export type AwsAction = keyof typeof resourceKinds
const awsActions = Object.keys(resourceKinds) as AwsAction[]

/** Members of IAM policies that say who or when, and have no counterpart. */
const REFUSED = ['Condition', 'NotAction', 'NotResource', 'Principal', 'NotPrincipal']

export interface AwsStatement {
  readonly path: string
  readonly name: string
  readonly effect: Effect
  readonly actions: readonly AwsAction[]
  readonly resources: readonly AwsResource[]
}

/** A text, or a list of texts. */
function oneOrMore(statement: Reader, name: string): readonly { text: string; path: string }[] {
  const value = statement.json[name]
  if (typeof value !== 'string') return textsOf(statement, name, MAX_LIST)
  return textsOf(new Reader({ [name]: [value] }, statement.path, statement.problems), name, 1)
}

function globRegex(text: string): RegExp {
  const pieces = text.split(/([*?])/).map((part) => (part === '*' ? '.*' : part === '?' ? '.' : quoteRegex(part)))
  return new RegExp(`^${pieces.join('')}$`, 'is')
}

function readActions(statement: Reader, draft: ImportDraft): readonly AwsAction[] {
  const named = oneOrMore(statement, 'Action').flatMap(({ text, path }) => {
    if (text.length > 128 || text.split('*').length > 4) {
      draft.refuse(path, 'is no action of AWS IoT')
      return []
    }
    const matching = awsActions.filter((action) => globRegex(text).test(action))
    if (matching.length === 0) draft.note('dropped', path, `${quote(text)} is no action on topics or connections`)
    return matching
  })
  return [...new Set(named)]
}

/** Reads one statement; what it says about other things than topics is noted. */
export function readStatement(statement: Reader, index: number, draft: ImportDraft): AwsStatement {
  for (const name of REFUSED)
    if (statement.has(name)) statement.refuse(name, 'cannot be expressed here; write the statement without it')
  refuseUnknown(statement, ['Sid', 'Effect', 'Action', 'Resource', ...REFUSED])
  requireMembers(statement, ['Effect', 'Action', 'Resource'])
  return {
    path: statement.path,
    name: statement.text('Sid', 65_535) ?? `statement-${index}`,
    effect: statement.word('Effect', ['Allow', 'Deny']) === 'Allow' ? 'allow' : 'deny',
    actions: readActions(statement, draft),
    resources: oneOrMore(statement, 'Resource').flatMap(({ text, path }) => readResource(text, path, draft) ?? []),
  }
}
