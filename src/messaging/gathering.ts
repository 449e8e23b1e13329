import type { IPublishPacket } from 'mqtt-packet'
import { toBase64 } from '../core/base64.ts'
import { decodeUtf8 } from '../core/bytes.ts'
import { MAX_PLAINTEXT_BYTES } from '../envelope/envelope.ts'
import type { IncomingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'

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

export interface ReceivedProperties {
  content_type?: string
  response_topic?: string
  /** Base64. */
  correlation_data?: string
  message_expiry?: number
  payload_format?: 'utf8' | 'bytes'
  user_properties?: Record<string, string | string[]>
}

function textOf(payload: Uint8Array): Pick<ReceivedMessage, 'message' | 'encoding'> {
  try {
    return { message: decodeUtf8(payload), encoding: 'utf8' }
  } catch {
    return { message: toBase64(payload), encoding: 'base64' } // not UTF-8
  }
}

function propertiesOf(properties: NonNullable<IPublishPacket['properties']>): ReceivedProperties {
  const { contentType, responseTopic, correlationData, messageExpiryInterval, payloadFormatIndicator, userProperties } =
    properties
  return {
    ...(contentType !== undefined && { content_type: contentType }),
    ...(responseTopic !== undefined && { response_topic: responseTopic }),
    ...(correlationData !== undefined && { correlation_data: toBase64(correlationData) }),
    ...(messageExpiryInterval !== undefined && { message_expiry: messageExpiryInterval }),
    ...(payloadFormatIndicator !== undefined && { payload_format: payloadFormatIndicator ? 'utf8' : 'bytes' }),
    ...(userProperties && { user_properties: Object.fromEntries(Object.entries(userProperties)) }),
  }
}

export interface Gathering {
  readonly messages: ReceivedMessage[]
  /** Bytes of payload. */
  readonly bytes: number
  readonly truncated: boolean
  /** Resolves when a bound is met. */
  readonly full: Promise<void>
  add(message: IncomingMessage): void
  /** Says that there may have been more. */
  cut(): void
}

/**
 * Gathers messages until a bound is met, `maxBytes` of payloads or `MAX_MESSAGES_BYTES` of JSON; what comes after it is
 * dropped. `nowMs` is the wall clock.
 */
export function createGathering(bounds: { maxMessages: number; maxBytes: number }, nowMs: () => number): Gathering {
  const messages: ReceivedMessage[] = []
  const full = Promise.withResolvers<void>()
  let bytes = 0
  let jsonBytes = 0
  let truncated = false
  return {
    messages,
    full: full.promise,
    get bytes() {
      return bytes
    },
    get truncated() {
      return truncated
    },
    cut() {
      truncated = true
    },
    add({ topic, payload, qos, retain, properties }: IncomingMessage): void {
      if (truncated) return
      const content = { topic, ...textOf(payload), qos, retain, properties: propertiesOf(properties) }
      const received = { ...content, received_at: new Date(nowMs()).toISOString() }
      const size = Buffer.byteLength(JSON.stringify(received)) + 1 // and a comma
      const fits = bytes + payload.length <= bounds.maxBytes && jsonBytes + size <= MAX_MESSAGES_BYTES
      if (fits) {
        bytes += payload.length
        jsonBytes += size
        messages.push(received)
      }
      truncated = !fits || messages.length >= bounds.maxMessages || bytes === bounds.maxBytes
      if (truncated) full.resolve()
    },
  }
}
