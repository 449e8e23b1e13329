import type { AppError } from '../core/errors.ts'
import { outcomeOfFailure } from './permission.ts'

/** Items of one batch. */
export const MAX_ITEMS = 1_000

const letters = {
  /** By the broker, with a reason code below 0x80. */
  acknowledged: 'a',
  /** QoS 0: handed to a connected socket. */
  sent: 's',
  /** Refused by the broker, or by us for another reason than policy and guards; nothing was delivered. */
  rejected: 'r',
  /** Refused by policy, allow list or a guard; nothing was sent. */
  denied: 'd',
  /** Not sent: the broker was not reached, had no room in time, or the connection ended before. */
  unavailable: 'x',
  /** It left, and nobody saw what became of it. */
  unknown: 'u',
} as const

/** What became of one item of a batch. */
export type ItemOutcome = keyof typeof letters

const outcomes: ReadonlyMap<string, ItemOutcome> = new Map(
  Object.entries(letters).map(([outcome, letter]) => [letter, outcome as ItemOutcome]),
)

/** The id that item `index` (from 0) of a batch travels with, and is asked for by. */
export function itemIdOf(messageId: string, index: number): string {
  return `${messageId}.${index}`
}

/** Writes the outcomes of a batch as run lengths, in order: `"998a 1r 1u"`; at most 2 characters an item and a space. */
export function encodeItemOutcomes(items: readonly ItemOutcome[]): string {
  const runs: string[] = []
  for (let from = 0; from < items.length; ) {
    const outcome = items[from] as ItemOutcome
    let to = from + 1
    while (to < items.length && items[to] === outcome) to++
    runs.push(`${to - from}${letters[outcome]}`)
    from = to
  }
  return runs.join(' ')
}

/** Reads what {@link encodeItemOutcomes} wrote; `undefined` for anything else. */
export function parseItemOutcomes(text: string): ItemOutcome[] | undefined {
  const items: ItemOutcome[] = []
  for (const run of text.split(' ')) {
    const [, count, letter = ''] = /^([1-9]\d{0,3})([a-z])$/.exec(run) ?? []
    const outcome = outcomes.get(letter)
    if (outcome === undefined || items.length + Number(count) > MAX_ITEMS) return undefined
    for (let left = Number(count); left > 0; left--) items.push(outcome)
  }
  return items
}

/** Codes that say that it could not be done now, and nothing was sent. */
export const UNAVAILABLE: ReadonlySet<string> = new Set([
  'broker.unreachable',
  'broker.busy',
  'vault.unavailable',
  'kms.unavailable',
  'database.unavailable',
  'audit.unavailable',
  'internal',
])

/** What became of an item that ended with this error. */
export function itemOutcomeOf(err: AppError): Exclude<ItemOutcome, 'acknowledged' | 'sent'> {
  const outcome = outcomeOfFailure(err)
  if (outcome === 'unknown') return 'unknown'
  if (outcome === 'denied' || err.code === 'guard.refused') return 'denied'
  return UNAVAILABLE.has(err.code) ? 'unavailable' : 'rejected'
}
