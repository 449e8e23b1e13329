import type { IPublishPacket } from 'mqtt-packet'
import type { Bytes } from '../core/bytes.ts'
import type { Posture } from '../outbound/posture.ts'
import type { BrokerLimits, Qos } from './broker-limits.ts'
import type { MessageProperties } from './message-properties.ts'

export interface OutgoingMessage {
  readonly topic: string
  readonly payload: Bytes
  readonly qos: Qos
  readonly retain: boolean
  /** Sent as a user property where the protocol has them, so that consumers can drop a duplicate. */
  readonly messageId: string
  /** MQTT 5 only. */
  readonly properties?: MessageProperties
}

/** `lost`: the connection ended first, and bytes may have left. */
export type Delivery =
  | { readonly state: 'acknowledged' | 'refused'; readonly reasonCode: number }
  | { readonly state: 'sent' }
  | { readonly state: 'lost' }

export interface IncomingMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly properties: NonNullable<IPublishPacket['properties']>
}

export interface BrokerClient {
  readonly posture: Posture
  readonly limits: BrokerLimits
  readonly closed: boolean
  /** Resolves when the connection has ended, with the reason code of a DISCONNECT if there was one. */
  readonly ended: Promise<number | null>
  /** How long a message has waited for its acknowledgement while not a byte of any packet came in; 0 when none does. */
  readonly silenceMs: number
  /**
   * Writes one PUBLISH. The promise settles exactly once and never rejects; it may take until the connection ends.
   *
   * @throws {AppError} before a byte is written: `broker.rejected` outside of the granted limits, `broker.unreachable`
   * when the connection is gone, `request.invalid` when the message cannot be encoded
   */
  publish(message: OutgoingMessage): Promise<Delivery>
  /** Resolves with the reason code of the SUBACK, `null` when the connection ended first; throws as `publish` does. */
  subscribe(filter: string, qos: Qos): Promise<number | null>
  /** Resolves with whether the broker confirmed it. */
  unsubscribe(filter: string): Promise<boolean>
  /** Calls `listener` for every message until the returned function is called. */
  onMessage(listener: (message: IncomingMessage) => void): () => void
  /** Calls `listener` when the connection has ended, at once if it has, unless the returned function is called first. */
  onEnd(listener: () => void): () => void
  /** Says goodbye and ends the connection, within a second. */
  end(): Promise<void>
  destroy(): void
}
