import { toBase64 } from '../core/base64.ts'
import type { ErrorDetails } from '../core/errors.ts'
import { type MessageProperties, textOfProperties } from './message-properties.ts'

/** One message of a batch; what it leaves out is that of the batch. */
export interface BatchMessage {
  topic?: string
  /** Text, bytes, or, with `encoding: 'json'`, any JSON value. */
  message: unknown
  /** Defaults to `base64` for bytes, else to that of the batch, else to `utf8` for text and `json` for anything else. */
  encoding?: 'utf8' | 'base64' | 'json'
  qos?: 0 | 1 | 2
  retain?: boolean
  properties?: MessageProperties
}

export interface BatchInput extends Omit<BatchMessage, 'message'> {
  integrationId: string
  /** 1 to 1,000, published in this order. Topics and properties, those of the batch counted for each, come to 1 MiB at most. */
  messages: readonly BatchMessage[]
}

/**
 * `rejected`: by the broker, or as unfit for it. `denied`: by policy, allow list or guard. `unavailable`: not sent, and may be
 * tried again. `unknown`: it left, and nobody saw an acknowledgement.
 */
export type ItemOutcome = 'acknowledged' | 'sent' | 'rejected' | 'denied' | 'unavailable' | 'unknown'

export interface PublishedItem {
  /** From 0. */
  index: number
  /** Consumers see it as the MQTT 5 user property `sealwire-message-id`; `proxy.message` takes it. */
  messageId: string
  outcome: ItemOutcome
  noSubscribers?: true
  /** Where the message named one. */
  topic?: string
  /** As it was forwarded, as is `retain`. */
  qos: 0 | 1 | 2
  retain: boolean
  reasonCode: number | null
  /** Absent where it was acknowledged or sent. `retryAfter` in seconds. */
  error?: { code: string; status: number; message: string; details: ErrorDetails | null; retryAfter?: number }
}

export interface BatchResult {
  /**
   * `acknowledged`: every message was. `sent`: every one went out, one or more at QoS 0. `partial`: at least one went out, and at
   * least one did not, or nobody knows: look at `items`.
   */
  outcome: 'acknowledged' | 'sent' | 'partial'
  messageId: string
  integrationId: string
  /** Of messages that named none. */
  topic: string | null
  /** Every message, in order. */
  items: PublishedItem[]
  /** Those that did not occur are absent. */
  counts: Partial<Record<ItemOutcome, number>>
  sentAt: string | null
  completedAt: string
  /** Present when an earlier attempt with the same key did the work. */
  replayed?: true
}

export interface BatchDryRunResult {
  dryRun: true
  /** Whether every message is. */
  allowed: boolean
  operation: 'publish'
  policyId: string | null
  policyRevision: number | null
  items: {
    index: number
    allowed: boolean
    qos: 0 | 1 | 2
    retain: boolean
    reason: string
    rule: string | null
    guard: string | null
  }[]
}

function itemOf({ message, encoding, properties, ...item }: BatchMessage, byDefault: BatchMessage['encoding']) {
  const isBytes = message instanceof Uint8Array
  return {
    ...item,
    message: isBytes ? toBase64(message as Uint8Array<ArrayBuffer>) : message,
    encoding: isBytes ? 'base64' : (encoding ?? byDefault ?? (typeof message === 'string' ? 'utf8' : 'json')),
    ...(properties && { properties: textOfProperties(properties) }),
  }
}

/** The payload of a batch as JSON can carry it. */
export function batchOf({ messages, encoding, properties, ...input }: BatchInput) {
  return {
    ...input,
    ...(properties && { properties: textOfProperties(properties) }),
    messages: messages.map((message) => itemOf(message, encoding)),
  }
}
