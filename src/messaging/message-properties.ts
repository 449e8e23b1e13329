import type { IPublishPacket } from 'mqtt-packet'
import { type Bytes, decodeUtf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { IntegrationConfig } from '../integrations/config-schema.ts'
import { validateTopicName } from '../policy/topic-name.ts'
import type { Access, Ruling } from './access.ts'
import type { Qos } from './broker-limits.ts'

/** Properties of a PUBLISH that a caller may set; every string is one that MQTT can carry (OASIS MQTT 5.0 §1.5.4). */
export interface MessageProperties {
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Bytes
  /** In the order in which they are sent; names may repeat. */
  readonly userProperties?: readonly (readonly [name: string, value: string])[]
  /** 0 to 4,294,967,295 seconds. */
  readonly messageExpiryS?: number
  readonly payloadFormat?: 'utf8' | 'bytes'
}

/** Carries the message id, so that consumers can drop a duplicate; ours alone. */
export const MESSAGE_ID_PROPERTY = 'sealwire-message-id'

/** Of all properties of a message together, as MQTT encodes them, without the message id that we add. */
export const MAX_PROPERTIES_BYTES = 8_192

/** The QoS that replies are asked for with: that of their sender. A policy grants less where it says so, and never denies by it. */
export const REPLY_QOS: Qos = 2

/** Bytes of a text as UTF-8, without encoding it. */
export const utf8Bytes = (text: string): number => Buffer.byteLength(text)

/** Bytes of a string in a packet: its length in two, and itself. */
const stringBytes = (text: string) => 2 + utf8Bytes(text)

/** Bytes of one user property (OASIS MQTT 5.0 §3.3.2.3.7). */
export function userPropertyBytes(name: string, value: string): number {
  return 1 + stringBytes(name) + stringBytes(value)
}

/** Bytes that the properties take in a packet (OASIS MQTT 5.0 §3.3.2.3). */
export function propertiesBytes(properties: MessageProperties): number {
  const { contentType, responseTopic, correlationData, userProperties = [], messageExpiryS, payloadFormat } = properties
  let bytes = 0
  if (contentType !== undefined) bytes += 1 + stringBytes(contentType)
  if (responseTopic !== undefined) bytes += 1 + stringBytes(responseTopic)
  if (correlationData !== undefined) bytes += 3 + correlationData.length
  if (messageExpiryS !== undefined) bytes += 5
  if (payloadFormat !== undefined) bytes += 2
  for (const [name, value] of userProperties) bytes += userPropertyBytes(name, value)
  return bytes
}

function isUtf8(payload: Bytes): boolean {
  try {
    decodeUtf8(payload)
    return true
  } catch {
    return false // that is what was asked
  }
}

/**
 * Refuses properties that a message of this integration cannot have: whatever of them a broker answers by ending the
 * connection must not reach the connection that others share. `member` is where the request has the message.
 *
 * @throws {AppError} `request.invalid`, naming the member
 */
export function assertProperties(
  properties: MessageProperties,
  payload: Bytes,
  { protocolVersion, limits }: Pick<IntegrationConfig, 'protocolVersion' | 'limits'>,
  member: string,
): void {
  const refuse = (name: string, why: string): never => {
    throw new AppError('request.invalid', `${member}.properties${name}: ${why}.`)
  }
  if (protocolVersion !== 5) {
    refuse('', 'MQTT 3.1.1 has none; set config.protocol_version of the integration to 5, or leave them out')
  }
  const { responseTopic, userProperties = [], payloadFormat } = properties
  if (responseTopic !== undefined) {
    const problem = validateTopicName(responseTopic, { maxBytes: limits.maxTopicBytes })
    if (problem !== undefined) refuse('.response_topic', problem)
  }
  if (userProperties.some(([name]) => name === MESSAGE_ID_PROPERTY)) {
    refuse('.user_properties', `${MESSAGE_ID_PROPERTY} is set by us`)
  }
  if (propertiesBytes(properties) > MAX_PROPERTIES_BYTES) {
    refuse('', `longer than ${MAX_PROPERTIES_BYTES} bytes in all, as MQTT encodes them`)
  }
  if (payloadFormat === 'utf8' && !isUtf8(payload)) {
    refuse('.payload_format', 'says utf8, and the message is not UTF-8')
  }
}

/**
 * The properties of a PUBLISH as mqtt-packet writes them. User properties are a list of objects of one member each: that
 * keeps their order, and makes `__proto__` a name like any other.
 */
export function packetProperties(
  messageId: string,
  properties: MessageProperties | undefined,
): NonNullable<IPublishPacket['properties']> {
  const ours = { [MESSAGE_ID_PROPERTY]: messageId }
  if (properties === undefined) return { userProperties: ours }
  const { contentType, responseTopic, correlationData, userProperties = [], messageExpiryS, payloadFormat } = properties
  const listed = [ours, ...userProperties.map(([name, value]) => ({ [name]: value }))]
  return {
    ...(payloadFormat !== undefined && { payloadFormatIndicator: payloadFormat === 'utf8' }),
    ...(messageExpiryS !== undefined && { messageExpiryInterval: messageExpiryS }),
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData: Buffer.from(correlationData) }),
    userProperties: listed as unknown as Record<string, string>, // its types know the object only
  }
}

/**
 * Judges a message, and with it its response topic: whoever answers publishes there with rights of its own, so it must be
 * a topic that the caller may subscribe to (`checkResponseTopic` of the topic policy, section 7). The answer, and the trace,
 * are of the first that is refused.
 */
export function judgePublish(
  access: Pick<Access, 'publish' | 'subscribe'>,
  message: { topic: string; qos: Qos; retain: boolean; properties?: MessageProperties },
): Ruling {
  const ruling = access.publish(message.topic, message.qos, message.retain)
  const responseTopic = message.properties?.responseTopic
  if (!ruling.allowed || responseTopic === undefined) return ruling
  const reply = access.subscribe(responseTopic, REPLY_QOS)
  const trace = () => [...ruling.trace(), ...reply.trace().map((line) => `response topic: ${line}`)]
  if (reply.allowed) return { ...ruling, trace }
  const { qos, retain } = ruling
  const reason = `the caller may not subscribe to the response topic: ${reply.reason}`
  return { ...reply, qos, retain, reason, trace }
}
