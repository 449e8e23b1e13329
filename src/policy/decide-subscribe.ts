import type { AccessRequest, Decision } from './access.ts'
import type { CompiledRule } from './compiled-rule.ts'
import { allow, deny } from './decision.ts'
import type { Qos } from './document.ts'
import { TopicLevels } from './level-table.ts'
import { covers, filterText, intersect, type Levels, overlaps } from './levels.ts'
import { asks, type Entry } from './pattern-trie.ts'
import type { Session } from './session.ts'
import {
  grantedQos,
  type Hit,
  hitsOf,
  requirementsHold,
  Subscription,
  shareConditionsHold,
  triedAllowHolds,
} from './subscription.ts'
import { parseSharedFilter } from './topic-syntax.ts'
import { type Judge, Walk } from './walk.ts'

/**
 * Nodes that one decision may visit to find holes in denies. Beyond it a deny is not carved out: only a policy with thousands
 * of denies below a broad filter, and thousands of wildcard allows above them, comes near.
 */
const MAX_CARVING_NODES = 500_000

// What a decision works with is used again by the next one, which keeps nothing of it: decisions never wait.
const textLevels = new TopicLevels()
const filterLevels = new TopicLevels()
const holeLevels = new TopicLevels()
const walk = new Walk()
const holeWalk = new Walk()

/** Finds the allow of the highest tier, then of the highest QoS, then with the smallest id. */
class GrantJudge implements Judge {
  best: Entry | null = null
  qos: Qos = 0
  protected subscription!: Subscription

  start(subscription: Subscription): void {
    this.best = null
    this.subscription = subscription
  }

  consider(entry: Entry): void {
    const granted = this.#improvement(entry)
    if (granted !== undefined && this.holds(entry)) this.#take(entry, granted)
  }

  considerTried(entry: Entry): void {
    const granted = this.#improvement(entry)
    if (granted !== undefined && this.holdsTried(entry)) this.#take(entry, granted)
  }

  protected holds({ isPlainForFilters, rule, captures }: Entry): boolean {
    return isPlainForFilters || requirementsHold(rule, captures, this.subscription, false)
  }

  protected holdsTried(entry: Entry): boolean {
    return triedAllowHolds(entry, this.subscription)
  }

  /** The QoS of an allow that would be better than what was found so far. */
  #improvement({ rule, isPlainForFilters, priority, order }: Entry): Qos | undefined {
    const { best, subscription } = this
    if (best !== null && priority < best.priority) return undefined
    const granted = isPlainForFilters ? subscription.qos : grantedQos(rule, subscription.qos)
    if (granted === undefined) return undefined
    if (best !== null && priority === best.priority) {
      if (granted < this.qos || (granted === this.qos && order > best.order)) return undefined
    }
    if (isPlainForFilters) return granted
    return subscription.session.holds(rule) && shareConditionsHold(rule, subscription) ? granted : undefined
  }

  #take(entry: Entry, granted: Qos): void {
    this.best = entry
    this.qos = granted
  }
}

/** Finds the allow filter that has some names in common with the filter, in the same order. */
class PartialGrantJudge extends GrantJudge {
  protected override holds(entry: Entry): boolean {
    const { rule, matcher, dollar } = entry
    const { session, filter } = this.subscription
    if (matcher.kind !== 'filter') return false
    return session
      .fill(entry)
      .some(
        (one) => overlaps(one.levels, filter, dollar) && requirementsHold(rule, one.captures, this.subscription, true),
      )
  }

  protected override holdsTried(entry: Entry): boolean {
    return this.holds(entry)
  }
}

/** Finds out whether an allow above a tier takes all of a filter: such a hole is carved into the denies of that tier. */
class CarvingJudge implements Judge {
  carved = false
  #subscription!: Subscription
  #hole!: Levels
  #tier = 0

  start(subscription: Subscription, hole: Levels, tier: number): void {
    this.carved = false
    this.#subscription = subscription
    this.#hole = hole
    this.#tier = tier
  }

  consider({ rule, captures, matcher }: Entry): void {
    if (this.carved || rule.priority <= this.#tier || matcher.kind !== 'filter' || captures.length > 0) return
    if (rule.rule.require.length > 0 || grantedQos(rule, this.#subscription.qos) === undefined) return
    this.carved = this.#subscription.session.holds(rule) && shareConditionsHold(rule, this.#subscription)
  }

  considerTried(entry: Entry): void {
    if (this.carved || entry.matcher.kind !== 'filter') return
    const filled = this.#subscription.session.fill(entry)
    if (filled.some(({ levels }) => covers(levels, this.#hole, entry.dollar))) this.consider(entry)
  }
}

const carving = new CarvingJudge()

/** Finds the deny that refuses, in a tier or above it, and whether others only ask for deliveries to be checked. */
class RefusalJudge implements Judge {
  rule: CompiledRule | null = null
  entry: Entry | null = null
  /** Whether some pattern of the rule takes all of the filter. */
  covers = false
  isFiltered = false
  #subscription!: Subscription
  #tier = 0
  #isFilteredMode = false

  start(subscription: Subscription, tier: number): void {
    this.rule = null
    this.entry = null
    this.covers = false
    this.isFiltered = false
    this.#subscription = subscription
    this.#tier = tier
    this.#isFilteredMode = subscription.session.compiled.policy.options.subscribe === 'filtered'
  }

  consider(entry: Entry): void {
    const { rule } = entry
    if (rule.priority < this.#tier || (this.rule !== null && rule.order > this.rule.order)) return
    if (!entry.isPlainForFilters) {
      if (!this.#subscription.session.holds(rule) || !shareConditionsHold(rule, this.#subscription)) return
    }
    const hits = hitsOf(entry, this.#subscription)
    const someCovers = hits.some((hit) => hit.covers)
    if (this.rule === rule) {
      this.covers ||= someCovers
      return
    }
    const mayFilter = this.#subscription.delivery && (this.#isFilteredMode || rule.rule.overlap === 'filter')
    for (const hit of hits) {
      if (this.#isCarvedOut(hit, rule)) continue
      if (mayFilter && !hit.covers) this.isFiltered = true
      else {
        this.rule = rule
        this.entry = entry
        this.covers = someCovers
      }
    }
  }

  considerTried(entry: Entry): void {
    this.consider(entry)
  }

  #isCarvedOut({ pattern }: Hit, { priority }: CompiledRule): boolean {
    const { session, filter } = this.#subscription
    const { levels, allow: allows, topCarver } = session.compiled
    if (pattern === null || topCarver <= priority) return false
    const hole = intersect(pattern, filter)
    levels.split(filterText(hole), holeLevels)
    carving.start(this.#subscription, hole, priority)
    holeWalk.covering(allows.filters, asks.subscribe, holeLevels, session, carving)
    return carving.carved
  }
}

const granting = new GrantJudge()
const partial = new PartialGrantJudge()
const refusing = new RefusalJudge()

function findGrant(subscription: Subscription): GrantJudge {
  const { session } = subscription
  const { filters, texts } = session.compiled.allow
  granting.start(subscription)
  walk.covering(filters, asks.subscribe, filterLevels, session, granting)
  if (!texts.isEmpty) walk.text(texts, asks.subscribe, textLevels, session, false, granting)
  return granting
}

function findRefusal(subscription: Subscription, tier: number): RefusalJudge {
  const { session } = subscription
  const { deny: denies } = session.compiled
  refusing.start(subscription, tier)
  holeWalk.nodesLeft = MAX_CARVING_NODES
  walk.overlapping(denies.filters, asks.subscribe, filterLevels, session, refusing)
  if (!denies.texts.isEmpty) walk.text(denies.texts, asks.subscribe, textLevels, session, true, refusing)
  return refusing
}

function findPartialGrant(subscription: Subscription): GrantJudge {
  const { session } = subscription
  partial.start(subscription)
  walk.overlapping(session.compiled.allow.filters, asks.subscribe, filterLevels, session, partial)
  return partial
}

/** Decides a SUBSCRIBE: an allow must cover the filter, a deny need only overlap it. */
export function decideSubscribe(session: Session, { topic, qos = 0 }: AccessRequest, delivery: boolean): Decision {
  const { policy, levels, allow: allows, deny: denies } = session.compiled
  const shared = parseSharedFilter(topic, policy.options)
  if (typeof shared === 'string') return deny(`invalid-topic:${shared}`)
  levels.split(shared.filter, filterLevels)
  filterLevels.makeCanonical()
  if (!allows.texts.isEmpty || !denies.texts.isEmpty) levels.split(shared.filter, textLevels)
  const subscription = new Subscription(session, shared, qos, delivery)
  const grant = findGrant(subscription)
  const refusal = findRefusal(subscription, grant.best?.priority ?? Number.NEGATIVE_INFINITY)
  session.decided = refusal.rule ? refusal.entry : grant.best
  if (refusal.rule) return deny(refusal.covers ? 'rule' : 'deny-overlap', refusal.rule.id)
  const reason = refusal.isFiltered ? 'filtered' : null
  if (grant.best) return allow(reason ?? 'rule', grant.best.rule.id, grant.qos)
  if (policy.defaults.subscribe === 'allow' && !filterLevels.startsWithDollar)
    return allow(reason ?? 'default', null, qos)
  if (!delivery || policy.options.subscribe === 'strict') return deny('default')
  const some = findPartialGrant(subscription)
  session.decided = some.best
  return some.best ? allow('filtered', some.best.rule.id, some.qos) : deny('default')
}
