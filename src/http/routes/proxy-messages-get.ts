import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import { parseMessageId } from '../../messaging/messages.ts'
import { defineOperation } from '../operation.ts'
import { exampleId, integrationId, requestId, timestamp } from '../schemas.ts'

/** A message, or one of a batch: `msg_….17` is its item 17, counted from 0. */
const anyMessageId = z
  .string()
  .refine((text) => parseMessageId(text) !== undefined, 'must be the id of a message')
  .meta({ id: 'AnyMessageId', description: 'Id of a message; of one in a batch with `.` and its place, from 0' })

const outcomes = ['acknowledged', 'sent', 'rejected', 'unavailable', 'denied', 'unknown'] as const

const state = z.enum([...outcomes, 'in_progress', 'mixed']).meta({
  id: 'MessageState',
  description:
    'acknowledged: the broker said so. sent: QoS 0, handed to the broker. rejected: the broker refused it, or we did for another reason; see `code`. unavailable: nothing was sent, try again. denied: by policy, guard or allowed_operations. unknown: bytes may have left, and nobody saw an acknowledgement. in_progress: until its deadline, and 5 s for the record. mixed: a batch whose messages came to different ends.',
})

const late = z
  .strictObject({
    state: z.enum(['acknowledged', 'sent', 'rejected']),
    reason_code: z.int().nullable(),
    at: timestamp,
  })
  .meta({ id: 'LateWord', description: 'What the broker said after the caller was answered that nobody knows' })

const count = z.int().min(0)

const messageStatus = z
  .strictObject({
    message_id: anyMessageId,
    integration_id: integrationId,
    request_id: requestId.nullable(),
    state: state.meta({ description: 'The best that is known now, a late word of the broker included' }),
    no_subscribers: z.literal(true).optional(),
    reason_code: z.int().nullable(),
    code: z.string().nullable().meta({
      description:
        'The error code of its outcome on record, which its caller was answered; `outcome.unknown` where there is none; of one message of a batch only that',
    }),
    topic: z.string().nullable().meta({ description: 'At most 256 characters of it' }),
    qos: z.literal([0, 1, 2]).nullable(),
    retain: z.boolean().nullable(),
    intended_at: timestamp.meta({ description: 'When it was about to be sent, or was refused: nothing left before' }),
    settled_at: timestamp.nullable().meta({ description: 'When its outcome was put on record' }),
    late: late.nullable(),
    items: z
      .strictObject(
        Object.fromEntries(outcomes.map((outcome) => [outcome, count])) as Record<
          (typeof outcomes)[number],
          typeof count
        >,
      )
      .optional()
      .meta({ description: 'Of a batch, asked for by the id of the whole: how many messages came to what' }),
  })
  .meta({ id: 'MessageStatus' })

export const proxyMessagesGet = defineOperation({
  id: 'messages.get',
  method: 'get',
  path: '/api/v2/proxy/messages/:id',
  summary: 'Tell what became of a message',
  description:
    'Ask when an answer was lost, or was `outcome.unknown` (504): the id stands in `error.details.message_id`, with every try of the same Idempotency-Key, and in the MQTT 5 user property `sealwire-message-id` of the message. The answer is read from the audit log, as long as that has the rows. 404: nothing of such a message has been sent so far. While its request still runs (409 `idempotency.running`) that may change: ask again after its `Retry-After`. What the broker says late of a message in a batch is told by the id of that message (`msg_….17`), not by that of the batch.',
  scopes: ['proxy:publish'],
  params: z.strictObject({ id: anyMessageId }),
  data: messageStatus,
  example: {
    data: {
      message_id: exampleId('msg'),
      integration_id: exampleId('int'),
      request_id: exampleId('req'),
      state: 'acknowledged',
      reason_code: 0,
      code: 'outcome.unknown',
      topic: 'sensors/temperature',
      qos: 1,
      retain: false,
      intended_at: '2026-11-21T09:00:00.000100Z',
      settled_at: '2026-11-21T09:00:10.000400Z',
      late: { state: 'acknowledged', reason_code: 0, at: '2026-11-21T09:00:12.000700Z' },
    },
  },
  statuses: [200],
  errors: ['object.not_found', 'recipient.required', 'signer.busy'],
  enveloped: true,
  async handle({ findMessage }, { caller, params, admit }) {
    admit()
    const data = await findMessage(caller.tenantId, params.id)
    if (!data) throw new AppError('object.not_found', 'No such object.')
    return { data, subject: data.message_id }
  },
})
