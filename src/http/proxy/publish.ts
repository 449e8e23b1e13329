import { z } from 'zod'
import { messageProperties, propertiesFromWire } from '../message-properties.ts'
import { encodePayload } from '../payload.ts'
import { integrationId, jsonValue, messageId, timestamp } from '../schemas.ts'
import type { dryRun } from './dry-run.ts'
import { common, encoding, type ProxyOperation, qos } from './proxy-request.ts'
import { type batchDryRun, messages, type publishedBatch, runBatch } from './publish-batch.ts'

const publishPayload = z
  .strictObject({
    topic: z.string().optional().meta({ description: 'Defaults to config.topic' }),
    message: jsonValue.optional(),
    messages: messages.optional(),
    qos: qos.optional().meta({ description: 'Defaults to config.qos' }),
    retain: z.boolean().optional(),
    encoding: encoding.optional(),
    properties: messageProperties.optional(),
  })
  .refine(({ message, messages }) => (message === undefined) !== (messages === undefined), {
    message: 'must have one of message and messages, and not both',
  })
  .meta({ id: 'PublishPayload', description: 'With `message` or with `messages`; the rest is the default for items' })

export const publishBody = z.strictObject({
  ...common,
  operation: z.literal('publish'),
  payload: publishPayload,
})

export const published = z
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

type PublishData =
  | z.input<typeof published>
  | z.input<typeof publishedBatch>
  | z.input<typeof dryRun>
  | z.input<typeof batchDryRun>

export const publishOperation: ProxyOperation<z.output<typeof publishBody>, PublishData> = {
  scopes: ['proxy:publish'],
  async run(services, request, body, integration) {
    const { payload, dry_run: dryRun = false } = body
    const { message, messages, encoding, topic, qos: wanted, retain, properties } = payload
    if (messages) return runBatch(services, request, { ...payload, messages }, integration, dryRun)
    const { result: data, recorded } = await services.publish({
      caller: request.caller,
      identity: request.identity,
      integration,
      messageId: request.messageId,
      payload: encodePayload(message, encoding),
      topic,
      qos: wanted,
      retain,
      ...(properties && { properties: propertiesFromWire(properties) }),
      deadlineMs: request.deadlineMs,
      admit: request.admit,
      clientGone: request.clientGone,
      beforeSending: request.beforeSending,
      dryRun,
    })
    if (dryRun) await recorded // nothing was sent, and a failure must say so
    const status = 'outcome' in data && (data.outcome === 'sent' || data.no_subscribers) ? 202 : 200
    return { data, status, subject: integration.id, keep: !dryRun, recorded }
  },
}
