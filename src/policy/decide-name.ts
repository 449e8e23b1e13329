import type { AccessRequest, Decision } from './access.ts'
import type { CapturePlace, CompiledRule } from './compiled-rule.ts'
import { allow, deny } from './decision.ts'
import type { Qos } from './document.ts'
import { TopicLevels } from './level-table.ts'
import { covers, levelsOf } from './levels.ts'
import { asks, type Entry } from './pattern-trie.ts'
import { DECISION_EFFORT, fullEffort } from './regex/effort.ts'
import type { Rule } from './rule.ts'
import type { Session } from './session.ts'
import { scannedNameProblem } from './topic-syntax.ts'
import { type Judge, Walk } from './walk.ts'

/** The change of a message that exceeds a limit of QoS. */
const OVER_LIMIT = 8

/**
 * How much an allow changes a message: 0 nothing, 1 the retain flag, 2 to 7 the QoS (less for a higher one, then for a kept
 * flag), 8 more than it may.
 */
function changeOf({ maxQos, qosMode, retain: mode }: Rule, qos: Qos, retain: boolean): number {
  const strips = mode === 'strip' && retain ? 1 : 0
  if (maxQos === null || qos <= maxQos) return strips
  return qosMode === 'deny' ? OVER_LIMIT : 2 + 2 * (2 - maxQos) + strips
}

const levels = new TopicLevels()
const walk = new Walk()

/** Judges one name: keeps, entry by entry, the one that decides. One object is used again and again. */
class NameJudge implements Judge {
  best: Entry | null = null
  change = 0
  #session!: Session
  #isDelivery = false
  #isWill = false
  #qos: Qos = 0
  #retain = false
  /** What regexes may still cost this decision. */
  readonly #effort = fullEffort()

  start(session: Session, isDelivery: boolean, isWill: boolean, qos: Qos, retain: boolean): void {
    this.best = null
    this.change = 0
    this.#effort.left = DECISION_EFFORT
    this.#session = session
    this.#isDelivery = isDelivery
    this.#isWill = isWill
    this.#qos = qos
    this.#retain = retain
  }

  consider(entry: Entry): void {
    this.#judge(entry, entry.captures)
  }

  /** Tries an entry whose pattern no index finds: a regex, or variables that span levels. */
  considerTried(entry: Entry): void {
    const { matcher, dollar, isDeny } = entry
    if (matcher.kind === 'regex') {
      if (!dollar && levels.startsWithDollar) return
      for (const regex of this.#session.regexesOf(entry)) {
        if (!regex.matches(levels.text, isDeny, this.#effort)) continue
        this.#judge(entry, entry.captures)
        return
      }
      return
    }
    const name = levelsOf(levels.text)
    for (const filled of this.#session.fill(entry)) {
      if (covers(filled.levels, name, dollar)) this.#judge(entry, filled.captures)
    }
  }

  #judge(entry: Entry, captures: readonly CapturePlace[]): void {
    const { best, change: bestChange } = this
    const behind = best !== null && entry.order > best.order
    if (behind && (best.isDeny || bestChange === 0 || entry.priority < best.priority)) return
    if (!entry.isPlainForNames && !this.#applies(entry.rule, captures)) return
    const change = entry.isPlainForNames ? 0 : this.#changeBy(entry.rule)
    const competes = best !== null && best.priority === entry.priority && !entry.isDeny
    if (competes && (change > bestChange || (change === bestChange && behind))) return
    this.best = entry
    this.change = change
  }

  #applies(compiled: CompiledRule, captures: readonly CapturePlace[]): boolean {
    if (!this.#session.holds(compiled)) return false
    if (!this.#isDelivery && !this.#hasMessageConditions(compiled.rule)) return false
    return compiled.rule.require.length === 0 || this.#meets(compiled, captures)
  }

  /** Whether a publish or Will has the QoS and the flag that a rule asks for. */
  #hasMessageConditions(rule: Rule): boolean {
    if (rule.qos !== null && !rule.qos.includes(this.#qos)) return false
    if (rule.retain === 'forbid' ? this.#retain : rule.retain === 'require' && !this.#retain) return false
    return !this.#isWill || rule.will
  }

  #changeBy({ rule, isDeny }: CompiledRule): number {
    return this.#isDelivery || isDeny ? 0 : changeOf(rule, this.#qos, this.#retain)
  }

  #meets({ rule, isDeny }: CompiledRule, captures: readonly CapturePlace[]): boolean {
    const textAt = (name: string) => {
      const place = captures.find((capture) => capture.name === name)
      return place && levels.at(place.level)
    }
    return this.#session.meets(rule.require, textAt, isDeny)
  }
}

const judge = new NameJudge()

/** Decides a publish, a Will or a delivery: one name against the patterns of one action. */
export function decideName(session: Session, { action, topic, qos = 0, retain = false }: AccessRequest): Decision {
  const { policy, levels: table, allow: allows, deny: denies } = session.compiled
  const isDelivery = action === 'receive'
  const bits = table.split(topic, levels)
  const problem = scannedNameProblem(topic, bits, levels.count, policy.options, isDelivery)
  if (problem !== undefined) return deny(`invalid-topic:${problem}`)
  judge.start(session, isDelivery, action === 'will', qos, retain)
  const ask = isDelivery ? asks.receive : asks.publish
  walk.name(denies.filters, ask, levels, session, judge)
  walk.name(allows.filters, ask, levels, session, judge)
  const { best, change } = judge
  session.decided = best
  if (best === null) {
    const effect = isDelivery ? policy.defaults.subscribe : policy.defaults.publish
    if (effect === 'deny' || levels.startsWithDollar) return deny('default')
    return isDelivery ? allow('default', null) : allow('default', null, qos, retain)
  }
  const { id, rule } = best.rule
  if (best.isDeny) return deny('rule', id)
  if (isDelivery) return allow('rule', id)
  if (change === OVER_LIMIT) return deny('qos-exceeds', id)
  const { maxQos, retain: mode } = rule
  return allow('rule', id, maxQos !== null && qos > maxQos ? maxQos : qos, retain && mode !== 'strip')
}
