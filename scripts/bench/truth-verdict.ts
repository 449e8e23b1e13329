import type { TruthBroker } from './truth-broker.ts'

/** What the server said about one publish. */
export interface Said {
  /** The payload. */
  readonly number: string
  /** `acknowledged`, the code of the refusal, or `bare` and the code of one that was not sealed. */
  readonly end: string
  /** `rejected` and `unavailable` both say that the broker does not have it. */
  readonly outcome: 'acknowledged' | 'rejected' | 'unavailable' | 'unknown'
  readonly messageId: string | undefined
  readonly reasonCode: number | undefined
  readonly ms: number
}

export interface Verdict {
  /** By end: `acknowledged`, `outcome.unknown`, `broker.unreachable` … */
  readonly ends: Readonly<Record<string, number>>
  /** Answered `acknowledged`, and the broker wrote no acknowledgement for that message id. */
  readonly falseAcknowledged: number
  /** Answered that nothing was sent, or that the broker refused it, and the broker's log says otherwise. */
  readonly falseRejected: number
  /** Answered `unknown`: of these the broker had acknowledged, had seen, had never seen. */
  readonly unknown: { readonly acknowledged: number; readonly seen: number; readonly unseen: number }
  /** `unknown` under another message id than the broker knows, or sealed and under none. */
  readonly wrongMessageIds: number
  /** Message ids that the broker saw more than once, and publishes that it saw under more than one. */
  readonly duplicates: number
  readonly inTime: number
  readonly slowestMs: number
  readonly p99Ms: number
}

/** Ends that say nothing of what they should, such as an answer that was lost; a run that has any is worth nothing. */
export const isStrange = ({ end }: Said): boolean => !/^(acknowledged|(bare )?outcome\.unknown|broker\.\w+)$/.test(end)

type Log = Pick<TruthBroker, 'byMessageId' | 'byPayload'>

/** Holds every answer against the broker's log. Pure. */
export function judgeTruth(answers: readonly Said[], { byMessageId, byPayload }: Log, limitMs: number): Verdict {
  const ends: Record<string, number> = {}
  const unknown = { acknowledged: 0, seen: 0, unseen: 0 }
  let [falseAcknowledged, falseRejected, wrongMessageIds] = [0, 0, 0]
  for (const { number, end, outcome, messageId, reasonCode } of answers) {
    ends[end] = (ends[end] ?? 0) + 1
    const ids = byPayload.get(number) ?? []
    const seen = ids.map((id) => byMessageId.get(id))
    if (outcome === 'acknowledged') {
      if (messageId === undefined || !byMessageId.get(messageId)?.acknowledged) falseAcknowledged++
    } else if (outcome === 'unknown') {
      const isBare = end.startsWith('bare ') // it names an id that nobody may believe
      if (!isBare && (messageId === undefined || ids.some((id) => id !== messageId))) wrongMessageIds++
      if (seen.some((one) => one?.acknowledged)) unknown.acknowledged++
      else if (seen.length > 0) unknown.seen++
      else unknown.unseen++
    } else if (end === 'broker.rejected' && seen.length > 0) {
      if (!seen.every((one) => one?.refusedWith !== undefined && one.refusedWith === reasonCode)) falseRejected++
    } else if (seen.length > 0) falseRejected++
  }
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b)
  const twice = [...byMessageId.values()].filter(({ publishes }) => publishes > 1).length
  return {
    ends,
    falseAcknowledged,
    falseRejected,
    unknown,
    wrongMessageIds,
    duplicates: twice + [...byPayload.values()].filter((ids) => ids.length > 1).length,
    inTime: times.filter((ms) => ms <= limitMs).length,
    slowestMs: times.at(-1) ?? 0,
    p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
  }
}
