import { z } from 'zod'
import { utf8 } from '../core/bytes.ts'
import { validateTopicFilter } from '../policy/topic-filter.ts'
import { validateTopicName } from '../policy/topic-name.ts'

/** Connection settings of an integration, complete: every default is filled in. The host is in the credential, never here. */
export interface IntegrationConfig {
  /** Topic of a publish that names none, and one entry of the allow list. */
  readonly topic: string | undefined
  /** Filters; with `topic` the allow list while there is no policy. Empty, and no `topic`: every topic is refused. */
  readonly topics: readonly string[]
  /** Topic under which requests await their replies, unless they name one: `<reply_prefix>/<API key id>/<random>`. */
  readonly replyPrefix: string | undefined
  readonly qos: 0 | 1 | 2
  /** Absent: `mqtts` when the port is 8883 or the credential holds a certificate, else `mqtt`. */
  readonly protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss' | undefined
  readonly protocolVersion: 4 | 5
  readonly tls: TlsSettings
  readonly wsPath: string
  readonly clientIdPrefix: string
  readonly keepaliveS: number
  readonly limits: IntegrationLimits
}

export interface TlsSettings {
  /** Name that is sent (SNI) and that the certificate must bear; absent: the credential's host. */
  readonly serverName: string | undefined
  readonly alpn: readonly string[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** Refuses a link whose key exchange is classical. */
  readonly requirePqc: boolean
}

export interface IntegrationLimits {
  readonly maxTopicBytes: number
  readonly maxPayloadBytes: number
  readonly maxInFlight: number
}

/** The longest topic that MQTT can carry (OASIS MQTT 5.0 §1.5.4). */
const MQTT_STRING_BYTES = 65_535

const integer = (min: number, max: number, fallback: number) => z.int().min(min).max(max).default(fallback)

const topicFilter = z.string().superRefine((filter, ctx) => {
  const problem = validateTopicFilter(filter, { maxBytes: MQTT_STRING_BYTES })
  if (problem !== undefined) ctx.addIssue({ code: 'custom', message: `is not a topic filter: ${problem}` })
  else if (filter.startsWith('$share/')) {
    ctx.addIssue({ code: 'custom', message: 'must not begin with $share/: name the filter behind the group' })
  }
})

/** Bytes that a reply topic has behind its prefix: an API key id and 128 random bits, each behind a `/`. */
const REPLY_SUFFIX_BYTES = 64

const replyPrefix = z.string().superRefine((prefix, ctx) => {
  const problem = validateTopicName(prefix, { maxBytes: MQTT_STRING_BYTES - REPLY_SUFFIX_BYTES })
  if (problem !== undefined) ctx.addIssue({ code: 'custom', message: `is no topic for replies: ${problem}` })
})

/** RFC 6066 §3: a DNS name, no address, no trailing dot. */
const serverName = z
  .string()
  .max(253)
  .regex(/^(?=.*[a-z])([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i, {
    error: 'must be a DNS name',
  })

const tls = z.strictObject({
  server_name: serverName.optional(),
  alpn: z
    .array(z.string().regex(/^[\x21-\x7e]{1,255}$/, { error: 'must be 1 to 255 printable ASCII characters' }))
    .max(8)
    .default([]),
  min_version: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
  require_pqc: z.boolean().default(false),
})

const limits = z.strictObject({
  max_topic_bytes: integer(1, MQTT_STRING_BYTES, 1024),
  max_payload_bytes: integer(1, 1_048_576, 262_144),
  max_in_flight: integer(1, 65_535, 256),
})

/** `config` as it is on the wire and in the database. */
export const configSchema = z
  .strictObject({
    topic: topicFilter.optional(),
    topics: z.array(topicFilter).max(100).default([]),
    reply_prefix: replyPrefix.optional().meta({
      description:
        'Where operation `request` awaits replies unless it names a topic: `<reply_prefix>/<API key id>/<random>`. The caller must be allowed to subscribe to it',
    }),
    qos: z.literal([0, 1, 2]).default(1),
    protocol: z.enum(['mqtt', 'mqtts', 'ws', 'wss']).optional(),
    protocol_version: z.literal([4, 5]).default(5),
    tls: tls.prefault({}),
    ws_path: z
      .string()
      .regex(/^\/(?![/\\])[\x21-\x22\x24-\x5b\x5d-\x7e]{0,1023}$/, {
        error: 'must begin with one / and hold printable ASCII without # and \\, at most 1024 characters',
      })
      .default('/mqtt'),
    client_id_prefix: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,32}$/, { error: 'must be 1 to 32 letters, digits, _ or -' })
      .default('sealwire'),
    keepalive_s: integer(5, 1200, 30),
    limits: limits.prefault({}),
  })
  .superRefine((config, ctx) => {
    const plaintext = config.protocol === 'mqtt' || config.protocol === 'ws'
    if (plaintext && config.tls.require_pqc) {
      ctx.addIssue({ code: 'custom', path: ['tls', 'require_pqc'], message: 'needs protocol mqtts or wss' })
    }
    const max = config.limits.max_topic_bytes
    const filters = [
      ...(config.topic === undefined ? [] : [{ filter: config.topic, path: ['topic'] }]),
      ...config.topics.map((filter, i) => ({ filter, path: ['topics', i] })),
    ]
    if (config.reply_prefix !== undefined && utf8(config.reply_prefix).length + REPLY_SUFFIX_BYTES > max) {
      const message = `needs ${REPLY_SUFFIX_BYTES} bytes more than it has within limits.max_topic_bytes (${max})`
      ctx.addIssue({ code: 'custom', path: ['reply_prefix'], message })
    }
    for (const { filter, path } of filters) {
      if (utf8(filter).length > max) {
        ctx.addIssue({ code: 'custom', path, message: `is longer than limits.max_topic_bytes (${max})` })
      }
    }
    if (new Set(config.topics).size !== config.topics.length) {
      ctx.addIssue({ code: 'custom', path: ['topics'], message: 'must not name a filter twice' })
    }
  })

export type ConfigOnWire = z.output<typeof configSchema>
