import { attackPatterns } from './attack-patterns.ts'
import type { AttackClass } from './guards-config.ts'
import type { ScannedTexts } from './scanned-texts.ts'
import { Searcher } from './searcher.ts'

/**
 * What one payload may add to the automaton of several classes. It has more states than could ever be made, of which
 * honest traffic needs a few hundred; an attacker who asks for others gets them from the automata of the classes, which
 * are small.
 */
const WORK_PER_PAYLOAD = 20_000
const MAX_SHARED_STATES = 4_096

const searchers = new Map<string, Searcher>()

/** The searcher of some classes, one for the process: its states are made once. */
export function attackSearcher(classes: readonly AttackClass[]): Searcher {
  const key = classes.join()
  const known = searchers.get(key)
  if (known) return known
  const searcher = new Searcher(classes.flatMap((name) => attackPatterns[name]).map((pattern) => `(?i)${pattern}`))
  searchers.set(key, searcher)
  return searcher
}

/** Makes the searchers of some classes now, so that no message waits for them. */
export function prepareAttacks(classes: readonly AttackClass[]): void {
  if (classes.length > 1) attackSearcher(classes)
  for (const name of classes) attackSearcher([name])
}

/** The classes among some that match at least one of the texts of a payload. */
export function findAttacks(classes: readonly AttackClass[], { units, texts }: ScannedTexts): readonly AttackClass[] {
  if (classes.length > 1) {
    const shared = attackSearcher(classes)
    const budget = { left: shared.stateCount < MAX_SHARED_STATES ? WORK_PER_PAYLOAD : 0 }
    if (shared.trySearchTexts(units, texts, budget) === false) return [] // nearly all payloads, in one pass
  }
  return classes.filter((name) => attackSearcher([name]).searchTexts(units, texts))
}
