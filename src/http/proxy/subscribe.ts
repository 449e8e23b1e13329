import { z } from 'zod'
import { timestamp } from '../schemas.ts'
import type { dryRun } from './dry-run.ts'
import { common, type ProxyOperation, qos } from './proxy-request.ts'

const subscribePayload = z
  .strictObject({
    topic: z.string().optional().meta({ description: 'A topic filter; defaults to config.topic' }),
    qos: qos.optional(),
    max_messages: z.int().min(1).max(1000).optional().meta({ description: 'Defaults to 100' }),
    wait_ms: z.int().min(0).max(25_000).optional().meta({ description: 'Defaults to 5000' }),
    max_bytes: z
      .int()
      .min(1)
      .max(8_388_608)
      .optional()
      .meta({ description: 'Of payloads together; defaults to 1 MiB. The messages as JSON come to 8 MiB at most' }),
  })
  .meta({ id: 'SubscribePayload' })

export const subscribeBody = z.strictObject({
  ...common,
  operation: z.literal('subscribe'),
  payload: subscribePayload,
})

export const receivedProperties = z
  .strictObject({
    content_type: z.string().optional(),
    response_topic: z.string().optional(),
    correlation_data: z.string().optional().meta({ description: 'base64' }),
    message_expiry: z.int().optional().meta({ description: 'Seconds' }),
    payload_format: z.enum(['utf8', 'bytes']).optional(),
    user_properties: z
      .record(z.string(), z.union([z.string(), z.array(z.string())]))
      .optional()
      .meta({ description: 'A name that repeated has a list. The order of different names is not kept' }),
    truncated: z
      .literal(true)
      .optional()
      .meta({ description: 'Some were left out: more than 8 KiB in all, or one was not what MQTT says' }),
  })
  .meta({ id: 'ReceivedProperties', description: 'MQTT 5 properties; empty on 3.1.1' })

export const received = z
  .strictObject({
    topic: z.string(),
    message: z.string(),
    encoding: z.enum(['utf8', 'base64']),
    qos,
    retain: z.boolean(),
    properties: receivedProperties,
    received_at: timestamp,
  })
  .meta({ id: 'ReceivedMessage' })

export const collected = z
  .strictObject({
    granted_qos: qos,
    messages: z.array(received),
    truncated: z.boolean().meta({
      description:
        'There may have been more: a bound was met, policy or allow list could not be asked for a while, or the connection to the broker was lost meanwhile. The subscription is then made again on the next one, which may bring retained messages twice',
    }),
  })
  .meta({ id: 'Collected' })

type CollectData = z.input<typeof collected> | z.input<typeof dryRun>

/** Milliseconds beyond its waiting time that a collect gets for connecting and answering. */
const COLLECT_GRACE_MS = 5000

export const subscribeOperation: ProxyOperation<z.output<typeof subscribeBody>, CollectData> = {
  scopes: ['proxy:subscribe'],
  async run({ collect }, request, body, integration) {
    const { topic, qos: wanted, max_messages: maxMessages, wait_ms: waitMs = 5000, max_bytes: maxBytes } = body.payload
    const given = request.header('request-deadline-ms') !== undefined
    const data = await collect({
      caller: request.caller,
      identity: request.identity,
      integration,
      topic,
      qos: wanted,
      maxMessages,
      waitMs,
      maxBytes,
      deadlineMs: given ? request.deadlineMs : request.extend(request.startedMs + waitMs + COLLECT_GRACE_MS),
      admit: request.admit,
      dryRun: body.dry_run ?? false,
    })
    return { data, subject: integration.id, keep: false }
  },
}
