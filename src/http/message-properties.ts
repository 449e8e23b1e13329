import { z } from 'zod'
import { fromBase64 } from '../core/base64.ts'
import type { MessageProperties } from '../messaging/message-properties.ts'

/** What no string of MQTT may hold, and what brokers end the connection for (OASIS MQTT 5.0 §1.5.4). */
const UNSAYABLE = /[\u0000-\u001f\u007f-\u009f]|\p{Noncharacter_Code_Point}/u

function isMqttText(text: string): boolean {
  return text.isWellFormed() && !UNSAYABLE.test(text)
}

const TEXT_RULE = 'must be well-formed Unicode without control characters and non-characters'
const mqttText = z.string().refine(isMqttText, TEXT_RULE)

function quoted(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 63)}…` : name)
}

/** What is wrong with one user property; `undefined` for nothing. */
function problemOf(name: string, value: unknown): string | undefined {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (values.length === 0 || values.some((one) => typeof one !== 'string')) {
    return `${quoted(name)} must be a string, or a list of at least one`
  }
  return [name, ...(values as string[])].every(isMqttText) ? undefined : `${quoted(name)}: name and value ${TEXT_RULE}`
}

/** What is wrong with user properties; `undefined` for nothing. */
function problemOfAll(given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return 'must be an object of strings, or lists of strings where a name repeats'
  }
  for (const [name, value] of Object.entries(given)) {
    const problem = problemOf(name, value)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Kept as it was parsed: zod's own record drops a member named `__proto__`, which is a name like any other. */
const userProperties = z
  .custom<Record<string, string | string[]>>((given) => problemOfAll(given) === undefined, {
    error: ({ input }) => problemOfAll(input),
  })
  .meta({
    id: 'UserProperties',
    override: {
      type: 'object',
      description:
        'A name that repeats has a list. Sent in this order, the values of one name next to each other; names that are whole numbers come first.',
      additionalProperties: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }] },
    },
  })

/** `properties` of a message to publish. What depends on the integration is judged where that is known. */
export const messageProperties = z
  .strictObject({
    content_type: mqttText.optional(),
    response_topic: z
      .string()
      .optional()
      .meta({ description: 'A topic that the caller may subscribe to, without wildcards' }),
    correlation_data: z
      .string()
      .refine((text) => fromBase64(text) !== undefined, 'must be canonical base64 (RFC 4648 section 4, with padding)')
      .optional()
      .meta({ description: 'base64' }),
    user_properties: userProperties.optional(),
    message_expiry: z
      .int()
      .min(0)
      .max(4_294_967_295)
      .optional()
      .meta({ description: 'Seconds after which a broker drops the message instead of delivering it' }),
    payload_format: z.enum(['utf8', 'bytes']).optional().meta({ description: 'utf8: the message is UTF-8 text' }),
  })
  .meta({ id: 'MessageProperties', description: 'MQTT 5 properties, at most 8 KiB in all; refused on 3.1.1' })

/** Maps properties to the names that the code uses; base64 is decoded. */
export function propertiesFromWire(wire: z.output<typeof messageProperties>): MessageProperties {
  const { content_type: contentType, response_topic: responseTopic, correlation_data: correlation } = wire
  const { user_properties: user, message_expiry: messageExpiryS, payload_format: payloadFormat } = wire
  const correlationData = correlation === undefined ? undefined : fromBase64(correlation)
  const pairs = (name: string, value: string | string[]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one] as const)
  return {
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(user !== undefined && {
      userProperties: Object.entries(user).flatMap(([name, value]) => pairs(name, value)),
    }),
    ...(messageExpiryS !== undefined && { messageExpiryS }),
    ...(payloadFormat !== undefined && { payloadFormat }),
  }
}
