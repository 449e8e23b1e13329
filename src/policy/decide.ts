import type { AccessRequest, Decision } from './access.ts'
import type { CompiledPolicy } from './compile-policy.ts'
import type { CompiledRule } from './compiled-rule.ts'
import { decideName } from './decide-name.ts'
import { decideSubscribe } from './decide-subscribe.ts'
import { type DecidingPattern, decidingPattern } from './deciding-pattern.ts'
import { allow, deny } from './decision.ts'
import type { Effect } from './document.ts'
import type { Identity } from './identity.ts'
import { TopicLevels } from './level-table.ts'
import { canonical, covers, levelsOf } from './levels.ts'
import { asks, type Entry } from './pattern-trie.ts'
import { fullEffort } from './regex/effort.ts'
import { Session } from './session.ts'
import { equalsText } from './subscription.ts'
import { parseSharedFilter } from './topic-syntax.ts'
import { type Judge, judgeBucket, Walk } from './walk.ts'

/** Of rules that all apply the first one decides: a higher priority stands before a lower one, and a deny before an allow. */
class FirstJudge implements Judge {
  #first: CompiledRule | null = null
  readonly #session: Session
  readonly #tries: (entry: Entry) => boolean

  constructor(session: Session, tries: (entry: Entry) => boolean) {
    this.#session = session
    this.#tries = tries
  }

  consider({ rule }: Entry): void {
    if ((this.#first === null || rule.order < this.#first.order) && this.#session.holds(rule)) this.#first = rule
  }

  considerTried(entry: Entry): void {
    if (this.#tries(entry)) this.consider(entry)
  }

  decision(fallback: Effect): Decision {
    if (this.#first === null) return fallback === 'allow' ? allow('default', null) : deny('default')
    return this.#first.isDeny ? deny('rule', this.#first.id) : allow('rule', this.#first.id)
  }
}

/** A CONNECT has no topic: there are only conditions on the identity. */
function decideConnect(session: Session): Decision {
  const { connect, policy } = session.compiled
  const judge = new FirstJudge(session, () => false)
  judgeBucket(connect, session, judge)
  return judge.decision(policy.defaults.connect)
}

const textLevels = new TopicLevels()
const filterLevels = new TopicLevels()
const walk = new Walk()

/** An UNSUBSCRIBE is decided by the rules that cover its filter; requirements and share conditions are not looked at. */
function decideUnsubscribe(session: Session, { topic }: AccessRequest): Decision {
  const { policy, levels: table, allow: allows, deny: denies } = session.compiled
  const shared = parseSharedFilter(topic, policy.options)
  if (typeof shared === 'string') return deny(`invalid-topic:${shared}`)
  const { filter: text } = shared
  table.split(text, textLevels)
  table.split(text, filterLevels)
  filterLevels.makeCanonical()
  const filter = canonical(levelsOf(text))
  const effort = fullEffort()
  const judge = new FirstJudge(session, (entry) => {
    const { matcher, rule, dollar } = entry
    if (matcher.kind === 'eq') return session.fill(entry).some(({ levels }) => equalsText(levels, text, rule.isDeny))
    if (matcher.kind === 'filter') return session.fill(entry).some(({ levels }) => covers(levels, filter, dollar))
    if (!dollar && textLevels.startsWithDollar) return false
    return session.regexesOf(entry).some((one) => one.matches(text, rule.isDeny, effort))
  })
  for (const { filters, texts } of [denies, allows]) {
    walk.covering(filters, asks.unsubscribe, filterLevels, session, judge)
    walk.text(texts, asks.unsubscribe, textLevels, session, texts === denies.texts, judge)
  }
  return judge.decision(policy.defaults.unsubscribe)
}

function decideIn(session: Session, request: AccessRequest, delivery: boolean): Decision {
  session.decided = null
  switch (request.action) {
    case 'publish':
    case 'will':
    case 'receive':
      return decideName(session, request)
    case 'subscribe':
      return decideSubscribe(session, request, delivery)
    case 'unsubscribe':
      return decideUnsubscribe(session, request)
    case 'connect':
      return decideConnect(session)
    default:
      return deny('invalid-action')
  }
}

/** The requests of one identity under one policy; what is found out about it is remembered. */
export interface PolicySession {
  /**
   * Decides one request. Starts at deny; cost follows the request, not the number of rules.
   *
   * @param delivery whether the surface checks every delivery, by default true; without that nothing is granted as `filtered`
   */
  decide(request: AccessRequest, delivery?: boolean): Decision
  /** Which pattern decided the request that was decided last, if a rule did. */
  decidingPattern(request: AccessRequest): DecidingPattern | null
}

/** Prepares for the requests of one identity; keep it as long as identity and policy stay the same. */
export function createSession(compiled: CompiledPolicy, identity: Identity): PolicySession {
  const session = new Session(compiled, identity)
  return {
    decide: (request, delivery = true) => decideIn(session, request, delivery),
    decidingPattern: (request) => decidingPattern(session, request),
  }
}

/** Decides one request of an identity. */
export function decide(
  compiled: CompiledPolicy,
  identity: Identity,
  request: AccessRequest,
  delivery = true,
): Decision {
  return decideIn(new Session(compiled, identity), request, delivery)
}
