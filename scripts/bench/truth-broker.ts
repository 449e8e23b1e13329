import { startFakeBroker } from '#test/support/fake-broker.ts'

/** What the broker knows of one message. */
export interface Seen {
  /** Times that its PUBLISH came, whole. */
  publishes: number
  /** A PUBACK below 0x80 was written. */
  acknowledged: boolean
  /** Of a PUBACK from 0x80 on that was written. */
  refusedWith: number | undefined
}

export interface TruthBroker {
  readonly port: number
  readonly connections: number
  /** By message id, the user property that every publish carries. */
  readonly byMessageId: ReadonlyMap<string, Seen>
  /** Message ids by payload, which is the number of a publish: a refusal names no message id. */
  readonly byPayload: ReadonlyMap<string, readonly string[]>
  stop(): Promise<void>
}

export interface BrokerHabits {
  /** In [0, 1). */
  readonly random: () => number
  /** Share of messages that are refused. */
  readonly refused: number
  /** Share of messages whose acknowledgement waits for up to `delayMs`. */
  readonly delayed: number
  readonly delayMs: number
}

const QUOTA_EXCEEDED = 0x97

/** A broker that takes MQTT 5 at QoS 1 and keeps a log of what it saw and what it answered, and nothing else. */
export async function startTruthBroker(habits: BrokerHabits): Promise<TruthBroker> {
  const { random, refused, delayed, delayMs } = habits
  const byMessageId = new Map<string, Seen>()
  const byPayload = new Map<string, string[]>()
  const broker = await startFakeBroker({
    keep: false,
    misbehave: {
      publish({ messageId: packetId = 0, payload, properties }, connection) {
        const messageId = properties?.userProperties?.['sealwire-message-id']
        if (typeof messageId !== 'string') throw new Error('a PUBLISH without its message id')
        const seen = byMessageId.get(messageId) ?? { publishes: 0, acknowledged: false, refusedWith: undefined }
        byMessageId.set(messageId, seen)
        if (seen.publishes++ === 0) {
          const number = payload.toString()
          byPayload.set(number, [...(byPayload.get(number) ?? []), messageId])
        }
        const refuse = random() < refused
        const answer = () => {
          if (connection.socket.destroyed) return
          if (refuse) seen.refusedWith = QUOTA_EXCEEDED
          else seen.acknowledged = true
          connection.send({ cmd: 'puback', messageId: packetId, reasonCode: refuse ? QUOTA_EXCEEDED : 0 })
        }
        if (random() < delayed) setTimeout(answer, random() * delayMs)
        else answer()
      },
    },
  })
  return {
    port: broker.port,
    get connections() {
      return broker.connections.length
    },
    byMessageId,
    byPayload,
    stop: () => broker.stop(),
  }
}
