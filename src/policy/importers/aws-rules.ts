import type { Effect, MatcherDocument, RuleAction, RuleDocument, WhenDocument } from '../document.ts'
import { quote } from '../problems.ts'
import { type AwsResource, regexOf } from './aws-resource.ts'
import { type AwsStatement, resourceKinds } from './aws-statement.ts'
import type { ImportDraft } from './import-draft.ts'

function topicMatcher({ pieces }: AwsResource, effect: Effect): MatcherDocument {
  return { regex: regexOf(pieces, effect, (variable) => `\${${variable}}`), subscribe: 'text', dollar: true }
}

function isEverything({ pieces }: AwsResource): boolean {
  const [only] = pieces
  return pieces.length === 1 && typeof only === 'object' && 'wild' in only && only.wild === '*'
}

/** The test of a client id by a resource `client/…`; `{}` where every client passes. */
function clientTest(resource: AwsResource, draft: ImportDraft): WhenDocument | undefined {
  const { path, pieces } = resource
  const [only] = pieces
  const isOwnId = typeof only === 'object' && 'variable' in only && only.variable === 'clientId'
  if (isEverything(resource) || (pieces.length === 1 && isOwnId)) return {}
  if (pieces.some((piece) => typeof piece === 'object' && 'variable' in piece))
    return draft.refuse(
      path,
      'a variable in client/… is ${iot:ClientId} alone; compare names by conditions of your own',
    )
  if (pieces.every((piece) => typeof piece === 'string')) return { clientId: { eq: pieces.join('') } }
  return { clientId: { regex: regexOf(pieces, 'deny', () => ''), mode: 'full' } }
}

/** Adds the rules of statements, all in one tier. */
export class AwsRules {
  readonly #draft: ImportDraft
  /** Resources on which a retained publish is allowed, as written. */
  readonly #retained: ReadonlySet<string>

  constructor(statements: readonly AwsStatement[], draft: ImportDraft) {
    this.#draft = draft
    const allowed = statements.filter(
      ({ effect, actions }) => effect === 'allow' && actions.includes('iot:RetainPublish'),
    )
    const topics = allowed.flatMap(({ resources }) =>
      resources.filter(({ kind }) => kind === 'any' || kind === resourceKinds['iot:RetainPublish']),
    )
    this.#retained = new Set(topics.map((one) => (isEverything(one) ? '*' : one.text)))
  }

  #mayRetain({ text }: AwsResource): boolean {
    return this.#retained.has('*') || this.#retained.has(text)
  }

  #add(
    { path, name, effect }: AwsStatement,
    suffix: string,
    rule: Pick<RuleDocument, 'actions' | 'topics' | 'retain' | 'when'>,
  ): void {
    this.#draft.addRule(path, { id: this.#draft.idFor(`${name}-${suffix}`, path, suffix), effect, ...rule })
  }

  /** A value with a slash in it takes more than the one level that a deny gives to what it cannot use. */
  #addGuards(
    statement: AwsStatement,
    actions: readonly RuleAction[],
    resources: readonly AwsResource[],
    suffix: string,
  ): void {
    if (statement.effect === 'allow') return
    for (const { pieces } of resources) {
      const names = pieces.flatMap((piece) =>
        typeof piece === 'object' && 'variable' in piece ? [piece.variable] : [],
      )
      if (names.length === 0) continue
      const when = { anyOf: names.map((name) => ({ [name]: { regex: '/', mode: 'search' as const } })) }
      const topics = [{ regex: regexOf(pieces, 'deny', () => '[\\d\\D]*'), subscribe: 'text', dollar: true }] as const
      this.#add(statement, `${suffix}-unusable-ids`, { when, actions, topics })
    }
  }

  #addTopics(
    statement: AwsStatement,
    suffix: string,
    actions: readonly RuleAction[],
    resources: readonly AwsResource[],
    retain?: 'require' | 'forbid',
  ): void {
    if (resources.length === 0) return
    const topics = resources.map((one) => topicMatcher(one, statement.effect))
    this.#add(statement, suffix, { actions, topics, ...(retain ? { retain } : {}) })
    this.#addGuards(statement, actions, resources, suffix)
  }

  #addPublish(statement: AwsStatement, resources: readonly AwsResource[]): void {
    const isDeny = statement.effect === 'deny'
    const isRetainable = (one: AwsResource) => isDeny || this.#mayRetain(one)
    const retainable = resources.filter(isRetainable)
    const rest = resources.filter((one) => !isRetainable(one))
    this.#addTopics(statement, 'publish', ['publish'], retainable)
    this.#addTopics(statement, 'publish-not-retained', ['publish'], rest, 'forbid')
    if (rest.length > 0 && this.#retained.size > 0)
      this.#draft.note(
        'stricter',
        statement.path,
        'a retained publish needs iot:RetainPublish on a resource that is spelt like the one of iot:Publish, or on all',
      )
  }

  #addConnect(statement: AwsStatement, resources: readonly AwsResource[]): void {
    for (const resource of resources) {
      const when = clientTest(resource, this.#draft)
      if (when)
        this.#add(statement, 'connect', { actions: ['connect'], ...(Object.keys(when).length > 0 ? { when } : {}) })
    }
  }

  add(statement: AwsStatement): void {
    const { actions, resources, effect } = statement
    for (const { kind, path, text } of resources)
      if (kind === 'other' || (kind !== 'any' && !actions.some((action) => resourceKinds[action] === kind)))
        this.#draft.note('dropped', path, `${quote(text)} is no resource of the actions of its statement`)
    for (const action of actions) {
      const fitting = resources.filter(({ kind }) => kind === 'any' || kind === resourceKinds[action])
      if (action === 'iot:Connect') this.#addConnect(statement, fitting)
      else if (action === 'iot:Subscribe') this.#addTopics(statement, 'subscribe', ['subscribe'], fitting)
      else if (action === 'iot:Receive') this.#addTopics(statement, 'receive', ['receive'], fitting)
      else if (action === 'iot:Publish') this.#addPublish(statement, fitting)
      else if (effect === 'deny') this.#addTopics(statement, 'retained', ['publish'], fitting, 'require')
    }
  }
}
