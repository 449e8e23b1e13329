import type { IPublishPacket } from 'mqtt-packet'
import { toBase64 } from '../core/base64.ts'
import { MAX_PROPERTIES_BYTES, userPropertyBytes, utf8Bytes } from './message-properties.ts'

/** Properties of a received message, as they go to the caller. */
export interface ReceivedProperties {
  content_type?: string
  response_topic?: string
  /** Base64. */
  correlation_data?: string
  message_expiry?: number
  payload_format?: 'utf8' | 'bytes'
  user_properties?: Record<string, string | string[]>
  /** Some were left out: together they were longer than 8 KiB, or one was not what MQTT says. */
  truncated?: true
}

const isString = (value: unknown): value is string => typeof value === 'string'
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array
const isNumber = (value: unknown): value is number => typeof value === 'number'
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'

/**
 * Types what mqtt-packet made of a packet, and keeps at most `MAX_PROPERTIES_BYTES` of it. A property that must not repeat
 * is a list where its sender repeated it, and left out. What mqtt-packet loses: the order of user properties with different
 * names, and an empty value that another one of the same name follows.
 */
export function receivedPropertiesOf(given: NonNullable<IPublishPacket['properties']>): ReceivedProperties {
  const bound = { left: MAX_PROPERTIES_BYTES, isMet: false }

  function take<T>(value: unknown, is: (value: unknown) => value is T, sizeOf: (value: T) => number): T | undefined {
    if (value === undefined) return undefined
    const size = is(value) ? sizeOf(value) : Number.POSITIVE_INFINITY
    if (!is(value) || size > bound.left) {
      bound.isMet = true
      return undefined
    }
    bound.left -= size
    return value
  }
  function takeUserProperties(): Record<string, string | string[]> | undefined {
    const properties: unknown = given.userProperties
    if (typeof properties !== 'object' || properties === null) return undefined
    const kept: [string, string | string[]][] = []
    for (const name in properties) {
      const value = (properties as Record<string, unknown>)[name]
      const values: unknown[] = Array.isArray(value) ? value : [value]
      const fitting: string[] = []
      for (const one of values) {
        const text = take(one, isString, (word) => userPropertyBytes(name, word))
        if (text === undefined) break
        fitting.push(text)
      }
      const [first] = fitting
      if (first !== undefined) kept.push([name, fitting.length === 1 ? first : fitting])
      if (fitting.length < values.length) break // of a thousand that are too many, one is looked at
    }
    return Object.fromEntries(kept) // own members whatever their names, `__proto__` too
  }

  const textBytes = (text: string) => 3 + utf8Bytes(text)
  const contentType = take(given.contentType, isString, textBytes)
  const responseTopic = take(given.responseTopic, isString, textBytes)
  const correlationData = take(given.correlationData, isBytes, (bytes) => 3 + bytes.length)
  const messageExpiry = take(given.messageExpiryInterval, isNumber, () => 5)
  const isText = take(given.payloadFormatIndicator, isBoolean, () => 2)
  const userProperties = takeUserProperties()
  return {
    ...(contentType !== undefined && { content_type: contentType }),
    ...(responseTopic !== undefined && { response_topic: responseTopic }),
    ...(correlationData !== undefined && { correlation_data: toBase64(correlationData) }),
    ...(messageExpiry !== undefined && { message_expiry: messageExpiry }),
    ...(isText !== undefined && { payload_format: isText ? 'utf8' : 'bytes' }),
    ...(userProperties !== undefined && { user_properties: userProperties }),
    ...(bound.isMet && { truncated: true }),
  }
}
