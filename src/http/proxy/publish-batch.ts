import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import type { Integration } from '../../integrations/integration.ts'
import { type BatchItem, type BatchResult, endedAlike, failureOfBatch } from '../../messaging/batch-result.ts'
import { MAX_ITEMS } from '../../messaging/item-outcomes.ts'
import { messageProperties, propertiesFromWire } from '../message-properties.ts'
import type { OperationAnswer } from '../operation.ts'
import { encodePayload } from '../payload.ts'
import { statusOf } from '../problems.ts'
import { exampleId, integrationId, jsonValue, messageId, timestamp } from '../schemas.ts'
import type { Services } from '../services.ts'
import { encoding, type ProxyRequest, qos } from './proxy-request.ts'

const item = z
  .strictObject({
    topic: z.string().optional(),
    message: jsonValue,
    encoding: encoding.optional(),
    qos: qos.optional(),
    retain: z.boolean().optional(),
    properties: messageProperties.optional(),
  })
  .meta({ id: 'BatchMessage', description: 'What it leaves out is that of the payload' })

/** `payload.messages` of a publish. */
export const messages = z
  .array(item)
  .min(1)
  .max(MAX_ITEMS)
  .meta({
    description:
      'A batch, instead of `message`: published in this order on one connection. One that is malformed refuses the whole, before anything is sent; what policy, allow list or guards refuse does not hold up the others. Topics and properties, with their defaults, come to 1 MiB at most.',
    examples: [
      [{ message: '22.5' }, { topic: 'sensors/humidity', message: { percent: 41 }, encoding: 'json', qos: 2 }],
    ],
  })

const itemOutcome = z.enum(['acknowledged', 'sent', 'rejected', 'denied', 'unavailable', 'unknown']).meta({
  id: 'ItemOutcome',
  description:
    'acknowledged: by the broker. sent: at QoS 0. rejected: refused by the broker, as unfit for it, or because the integration was gone by then. denied: by policy, allow list or guard. unavailable: not sent, the connection was not there or had ended, or there was no room by the deadline. unknown: it left, and nobody saw an acknowledgement',
})

const itemId = z
  .string()
  .regex(/^msg_[0-9a-z]{26}\.\d{1,3}$/)
  .meta({
    id: 'ItemMessageId',
    description: 'Id of the batch, a dot, and the index; consumers see it as user property `sealwire-message-id`',
    example: `${exampleId('msg')}.0`,
  })

const publishedItem = z
  .strictObject({
    index: z.int().min(0),
    message_id: itemId,
    outcome: itemOutcome,
    no_subscribers: z.literal(true).optional(),
    topic: z.string().optional().meta({ description: 'Where the item named one; else it is that of the batch' }),
    qos,
    retain: z.boolean(),
    reason_code: z.int().nullable(),
    error: z
      .strictObject({
        code: z.string(),
        status: z.int().meta({ description: 'That a single publish would have been answered with' }),
        message: z.string(),
        details: z.record(z.string(), z.unknown()).nullable(),
        retry_after: z.int().optional().meta({ description: 'Seconds' }),
      })
      .optional(),
  })
  .meta({ id: 'PublishedItem', description: 'QoS and retain are those that were forwarded' })

const count = z.int().min(1).optional()

export const publishedBatch = z
  .strictObject({
    outcome: z.enum(['acknowledged', 'sent', 'partial']).meta({
      description:
        'acknowledged: every item was. sent: every item went out, one or more at QoS 0. partial: at least one went out, and at least one did not, or nobody knows',
    }),
    message_id: messageId,
    integration_id: integrationId,
    topic: z.string().nullable().meta({ description: 'Of items that named none' }),
    items: z.array(publishedItem).meta({ description: 'Every message, in order' }),
    counts: z
      .strictObject({
        acknowledged: count,
        sent: count,
        rejected: count,
        denied: count,
        unavailable: count,
        unknown: count,
      })
      .meta({ description: 'Items by outcome; those that did not occur are left out' }),
    sent_at: timestamp.nullable(),
    completed_at: timestamp,
    replayed: z.literal(true).optional(),
  })
  .meta({
    id: 'PublishedBatch',
    examples: [
      {
        outcome: 'partial',
        message_id: exampleId('msg'),
        integration_id: exampleId('int'),
        topic: 'sensors/temperature',
        items: [
          {
            index: 0,
            message_id: `${exampleId('msg')}.0`,
            outcome: 'acknowledged',
            qos: 1,
            retain: false,
            reason_code: 0,
          },
          {
            index: 1,
            message_id: `${exampleId('msg')}.1`,
            outcome: 'denied',
            topic: 'admin/reset',
            qos: 1,
            retain: false,
            reason_code: null,
            error: {
              code: 'policy.denied',
              status: 403,
              message: 'Denied by policy: no filter of config.topic and config.topics covers it.',
              details: { reason: 'no filter of config.topic and config.topics covers it' },
            },
          },
        ],
        counts: { acknowledged: 1, denied: 1 },
        sent_at: '2026-11-21T09:00:00.000Z',
        completed_at: '2026-11-21T09:00:00.004Z',
      },
    ],
  })

export const batchDryRun = z
  .strictObject({
    dry_run: z.literal(true),
    allowed: z.boolean().meta({ description: 'Whether every item is' }),
    operation: z.literal('publish'),
    policy_id: z.string().nullable().meta({ description: 'null: config.topic and config.topics decided' }),
    policy_revision: z.int().nullable(),
    items: z.array(
      z.strictObject({
        index: z.int().min(0),
        allowed: z.boolean(),
        qos,
        retain: z.boolean(),
        reason: z.string(),
        rule: z.string().nullable(),
        guard: z.string().nullable(),
      }),
    ),
  })
  .meta({
    id: 'BatchDryRun',
    description:
      'Each item is judged as if it came alone: a rate limit counts none of them. A dry run of one message shows its trace.',
  })

type Data = z.input<typeof publishedBatch> | z.input<typeof batchDryRun>

/** What a publish names once for all of its items. */
interface BatchPayload {
  readonly topic?: string | undefined
  readonly messages: z.output<typeof messages>
  readonly encoding?: z.output<typeof encoding> | undefined
  readonly qos?: z.output<typeof qos> | undefined
  readonly retain?: boolean | undefined
  readonly properties?: z.output<typeof messageProperties> | undefined
}

function errorOf({ code, message, details, retryAfterS }: AppError) {
  return {
    code,
    status: statusOf(code, 'other', details),
    message,
    details: details ?? null,
    ...(retryAfterS !== undefined && { retry_after: Math.max(1, Math.ceil(retryAfterS)) }),
  }
}

/** A default topic is said once: a thousand times it would be longer than the request. */
function itemsOf(items: readonly BatchItem[], { messages }: BatchPayload): z.input<typeof publishedItem>[] {
  return items.map(({ error, ...members }, index) => {
    const topic = messages[index]?.topic
    return { ...members, ...(topic !== undefined && { topic }), ...(error && { error: errorOf(error) }) }
  })
}

/** The refusal of a batch of which nothing went out; with its items, unless all ended alike. */
function refusalOf(result: BatchResult, payload: BatchPayload): AppError | undefined {
  const failure = failureOfBatch(result)
  if (!failure) return undefined
  const { items, counts } = result
  const { code, message, cause, retryAfterS } = failure
  return new AppError(code, message, {
    details: { ...failure.details, counts, ...(!endedAlike(items) && { items: itemsOf(items, payload) }) },
    cause,
    ...(retryAfterS !== undefined && { retryAfterS }),
  })
}

/** 200: every item was acknowledged. 202: every item went out. 207: some did not, or nobody knows. */
function statusOfBatch({ outcome, items }: BatchResult): number {
  if (outcome !== 'acknowledged' && outcome !== 'sent') return 207
  return outcome === 'sent' || items.some((one) => one.no_subscribers) ? 202 : 200
}

/** Publishes `payload.messages`; throws where nothing went out, as a publish of one message does. */
export async function runBatch(
  { publishBatch }: Pick<Services, 'publishBatch'>,
  request: ProxyRequest,
  payload: BatchPayload,
  integration: Integration,
  dryRun: boolean,
): Promise<OperationAnswer<Data>> {
  const { caller, identity, deadlineMs, admit, clientGone, beforeSending } = request
  const byDefault = payload.properties && propertiesFromWire(payload.properties)
  const items = payload.messages.map((one, index) => {
    const properties = one.properties ? propertiesFromWire(one.properties) : byDefault
    const member = `payload.messages[${index}].message`
    return {
      topic: one.topic ?? payload.topic,
      payload: encodePayload(one.message, one.encoding ?? payload.encoding, member),
      qos: one.qos ?? payload.qos,
      retain: one.retain ?? payload.retain,
      ...(properties && { properties }),
    }
  })
  const { result, recorded } = await publishBatch({
    caller,
    identity,
    integration,
    messageId: request.messageId,
    items,
    deadlineMs,
    admit,
    clientGone,
    beforeSending,
    dryRun,
  })
  const subject = integration.id
  if ('dry_run' in result) {
    await recorded // nothing was sent, and a failure must say so
    return { data: result, subject, keep: false }
  }
  const refusal = refusalOf(result, payload)
  if (refusal) {
    await recorded
    throw refusal
  }
  const { outcome, message_id, integration_id, counts, sent_at, completed_at } = result
  const data = {
    outcome: outcome as z.input<typeof publishedBatch>['outcome'],
    message_id,
    integration_id,
    topic: payload.topic ?? integration.config.topic ?? null,
    items: itemsOf(result.items, payload),
    counts,
    sent_at,
    completed_at,
  }
  return { data, status: statusOfBatch(result), subject, keep: true, recorded }
}
