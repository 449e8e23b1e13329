import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import { defineOperation } from '../operation.ts'
import { encodePayload } from '../payload.ts'
import { exampleId, integrationId, jsonValue, messageId, timestamp } from '../schemas.ts'

const qos = z.literal([0, 1, 2])

const publishPayload = z
  .strictObject({
    topic: z.string().optional().meta({ description: 'Defaults to config.topic' }),
    message: jsonValue,
    qos: qos.optional().meta({ description: 'Defaults to config.qos' }),
    retain: z.boolean().optional(),
    encoding: z
      .enum(['utf8', 'base64', 'json'])
      .optional()
      .meta({ description: 'How `message` is written; utf8 when absent' }),
  })
  .meta({ id: 'PublishPayload' })

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

const common = {
  integration_id: z
    .string()
    .max(64)
    .meta({ description: 'Id of the integration', example: exampleId('int') }),
  dry_run: z.boolean().optional().meta({ description: 'Run every check, send nothing' }),
}

const published = z
  .strictObject({
    outcome: z.enum(['acknowledged', 'sent']),
    no_subscribers: z.literal(true).optional(),
    message_id: messageId,
    integration_id: integrationId,
    topic: z.string(),
    qos,
    retain: z.boolean(),
    reason_code: z.int().nullable(),
    sent_at: timestamp,
    acknowledged_at: timestamp.nullable(),
    replayed: z.literal(true).optional(),
  })
  .meta({ id: 'Published' })

const receivedProperties = z
  .strictObject({
    content_type: z.string().optional(),
    response_topic: z.string().optional(),
    correlation_data: z.string().optional().meta({ description: 'base64' }),
    message_expiry: z.int().optional().meta({ description: 'Seconds' }),
    payload_format: z.enum(['utf8', 'bytes']).optional(),
    user_properties: z.record(z.string(), z.union([z.string(), z.array(z.string())])).optional(),
  })
  .meta({ id: 'ReceivedProperties', description: 'MQTT 5 properties; empty on 3.1.1' })

const received = z
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

const collected = z
  .strictObject({ granted_qos: qos, messages: z.array(received), truncated: z.boolean() })
  .meta({ id: 'Collected' })

const dryRun = z
  .strictObject({
    dry_run: z.literal(true),
    allowed: z.boolean(),
    operation: z.enum(['publish', 'subscribe']),
    topic: z.string(),
    qos,
    retain: z.boolean(),
    reason: z.string().meta({ description: 'Why policy or allow list say what they say' }),
    rule: z.string().nullable().meta({ description: 'Id of the rule that decided' }),
    policy_id: z.string().nullable().meta({ description: 'null: config.topic and config.topics decided' }),
    policy_revision: z.int().nullable(),
    guard: z.string().nullable().meta({ description: 'What a guard would refuse or record' }),
    trace: z.array(z.string()).meta({ description: 'What became of every rule, a line each' }),
  })
  .meta({ id: 'DryRun', description: 'QoS and retain are those that would be forwarded' })

/** Milliseconds beyond its waiting time that a collect gets for connecting and answering. */
const COLLECT_GRACE_MS = 5000

const operationWord = { publish: 'proxy:publish', subscribe: 'proxy:subscribe' } as const

export const proxyOutbound = defineOperation({
  id: 'proxy.outbound',
  method: 'post',
  path: '/api/v2/proxy/outbound',
  summary: 'Publish, or subscribe and collect',
  description:
    'The answer is an envelope for the calling key; its plaintext is `{success, data, error}` with the data below. 200: acknowledged by the broker. 202: sent at QoS 0, or nobody subscribes. 504: bytes may have left and nobody saw an acknowledgement.',
  scopes: ['proxy:publish', 'proxy:subscribe'],
  body: z.discriminatedUnion('operation', [
    z.strictObject({ ...common, operation: z.literal('publish'), payload: publishPayload }),
    z.strictObject({ ...common, operation: z.literal('subscribe'), payload: subscribePayload }),
  ]),
  data: z.union([published, collected, dryRun]),
  example: {
    body: {
      integration_id: exampleId('int'),
      operation: 'publish',
      payload: { topic: 'sensors/temperature', message: '22.5', qos: 1 },
    },
    data: {
      outcome: 'acknowledged',
      message_id: exampleId('msg'),
      integration_id: exampleId('int'),
      topic: 'sensors/temperature',
      qos: 1,
      retain: false,
      reason_code: 0,
      sent_at: '2026-11-21T09:00:00.000Z',
      acknowledged_at: '2026-11-21T09:00:00.004Z',
    },
  },
  statuses: [200, 202],
  enveloped: true,
  idempotent: true,
  headers: {
    'Request-Deadline-Ms':
      'Milliseconds until the answer must be there: 10 to 30000, 10000 when absent (subscribe: wait_ms + 5000).',
  },
  errors: [
    'object.not_found',
    'operation.not_allowed',
    'policy.denied',
    'guard.refused',
    'destination.not_allowed',
    'credential.expired',
    'integration.invalid',
    'integration.locked',
    'recipient.required',
    'broker.rejected',
    'broker.unreachable',
    'broker.busy',
    'signer.busy',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle({ integrations, publish, collect }, request) {
    const { body, caller, identity, principal, admit } = request
    const scope = operationWord[body.operation]
    if (!principal.scopes.has(scope))
      throw new AppError('auth.forbidden', `This API key lacks the scope ${scope}.`, { details: { scope } })
    const integration = await integrations.find(caller.tenantId, body.integration_id)
    const subject = integration.id
    const { dry_run: dryRun = false } = body

    if (body.operation === 'publish') {
      const { message, encoding, topic, qos: wanted, retain } = body.payload
      const command = {
        caller,
        identity,
        integration,
        messageId: request.messageId,
        payload: encodePayload(message, encoding ?? 'utf8'),
        topic,
        qos: wanted,
        retain,
        deadlineMs: request.deadlineMs,
        admit,
        dryRun,
      }
      const { result: data, recorded } = await publish(command)
      if (dryRun) await recorded // nothing was sent, and a failure must say so
      const status = 'outcome' in data && (data.outcome === 'sent' || data.no_subscribers) ? 202 : 200
      return { data, status, subject, keep: !dryRun, recorded }
    }
    const { topic, qos: wanted, max_messages: maxMessages, wait_ms: waitMs = 5000, max_bytes: maxBytes } = body.payload
    const given = request.header('request-deadline-ms') !== undefined
    const deadlineMs = given ? request.deadlineMs : request.startedMs + waitMs + COLLECT_GRACE_MS
    const data = await collect({
      caller,
      identity,
      integration,
      topic,
      qos: wanted,
      maxMessages,
      waitMs,
      maxBytes,
      deadlineMs,
      admit,
      dryRun,
    })
    return { data, subject, keep: false }
  },
})
