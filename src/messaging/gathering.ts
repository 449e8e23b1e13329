import { toBase64 } from '../core/base64.ts'
import { decodeUtf8 } from '../core/bytes.ts'
import { MAX_PLAINTEXT_BYTES } from '../envelope/envelope.ts'
import type { IncomingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { type ReceivedProperties, receivedPropertiesOf } from './received-properties.ts'

/**
 * Bytes of JSON that the messages of one answer may come to: payloads grow up to six times on their way into JSON, and
 * topics and properties count as well. Half of what an envelope holds.
 */
export const MAX_MESSAGES_BYTES = MAX_PLAINTEXT_BYTES / 2

export interface ReceivedMessage {
  topic: string
  message: string
  encoding: 'utf8' | 'base64'
  qos: Qos
  retain: boolean
  properties: ReceivedProperties
  received_at: string
}

function textOf(payload: Uint8Array): Pick<ReceivedMessage, 'message' | 'encoding'> {
  try {
    return { message: decodeUtf8(payload), encoding: 'utf8' }
  } catch {
    return { message: toBase64(payload), encoding: 'base64' } // not UTF-8
  }
}

/** A message as it goes to the caller; `nowMs` is the wall clock. */
export function receivedOf(
  { topic, payload, qos, retain, properties }: IncomingMessage,
  nowMs: number,
): ReceivedMessage {
  const content = { topic, ...textOf(payload), qos, retain, properties: receivedPropertiesOf(properties) }
  return { ...content, received_at: new Date(nowMs).toISOString() }
}

/** Bytes of JSON that a message comes to in an answer. */
export function jsonBytes(message: ReceivedMessage): number {
  return Buffer.byteLength(JSON.stringify(message))
}

export interface Gathering {
  readonly messages: ReceivedMessage[]
  /** Bytes of payload. */
  readonly bytes: number
  /** A bound is met. */
  readonly isFull: boolean
  /** There may have been more. */
  readonly truncated: boolean
  /** Resolves when a bound is met. */
  readonly full: Promise<void>
  add(message: IncomingMessage): void
  /** Says that there may have been more: nobody listened for a while. */
  gap(): void
}

/**
 * Gathers messages until a bound is met, `maxBytes` of payloads or `MAX_MESSAGES_BYTES` of JSON; what comes after it is
 * dropped. `nowMs` is the wall clock.
 */
export function createGathering(bounds: { maxMessages: number; maxBytes: number }, nowMs: () => number): Gathering {
  const messages: ReceivedMessage[] = []
  const full = Promise.withResolvers<void>()
  let bytes = 0
  let total = 0
  let isFull = false
  let hasGap = false
  return {
    messages,
    full: full.promise,
    get bytes() {
      return bytes
    },
    get isFull() {
      return isFull
    },
    get truncated() {
      return isFull || hasGap
    },
    gap() {
      hasGap = true
    },
    add(message: IncomingMessage): void {
      if (isFull) return
      const received = receivedOf(message, nowMs())
      const { length } = message.payload
      const size = jsonBytes(received) + 1 // and a comma
      const fits = bytes + length <= bounds.maxBytes && total + size <= MAX_MESSAGES_BYTES
      if (fits) {
        bytes += length
        total += size
        messages.push(received)
      }
      isFull = !fits || messages.length >= bounds.maxMessages || bytes === bounds.maxBytes
      if (isFull) full.resolve()
    },
  }
}
