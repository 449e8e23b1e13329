import { toBase64 } from '../core/base64.ts'

/** MQTT 5 properties of a message, at most 8 KiB in all. A broker of MQTT 3.1.1 has none: the server then refuses them. */
export interface MessageProperties {
  contentType?: string
  /** Where an answer should go: a topic that the caller may subscribe to. */
  responseTopic?: string
  /** Bytes, or their base64. */
  correlationData?: Uint8Array | string
  /** A name that repeats has a list. Sent in this order; names that are whole numbers come first. */
  userProperties?: Record<string, string | string[]>
  /** Seconds after which a broker drops the message instead of delivering it: 0 to 4,294,967,295. */
  messageExpiry?: number
  /** `utf8`: the message is UTF-8 text, which the server checks. */
  payloadFormat?: 'utf8' | 'bytes'
}

/** MQTT 5 properties of a received message; empty on 3.1.1. */
export interface ReceivedProperties {
  contentType?: string
  responseTopic?: string
  /** Base64. */
  correlationData?: string
  /** A name that repeated has a list. The order of different names is not kept. */
  userProperties?: Record<string, string | string[]>
  /** Seconds that were left. */
  messageExpiry?: number
  payloadFormat?: 'utf8' | 'bytes'
  /** Some were left out: more than 8 KiB in all, or one was not what MQTT says. */
  truncated?: true
}

/** Writes bytes as base64; the names are left to `toWire`. */
export function textOfProperties({ correlationData, ...rest }: MessageProperties): MessageProperties {
  if (correlationData === undefined) return rest
  const isText = typeof correlationData === 'string'
  return { ...rest, correlationData: isText ? correlationData : toBase64(correlationData) }
}
