import { z } from 'zod'
import { DEFAULT_REPLY_WAIT_MS } from '../../messaging/request.ts'
import { messageProperties, propertiesFromWire } from '../message-properties.ts'
import { encodePayload } from '../payload.ts'
import { jsonValue } from '../schemas.ts'
import type { dryRun } from './dry-run.ts'
import { common, encoding, type ProxyOperation, qos } from './proxy-request.ts'
import { published } from './publish.ts'
import { received } from './subscribe.ts'

const requestPayload = z
  .strictObject({
    topic: z.string().optional().meta({ description: 'Defaults to config.topic' }),
    message: jsonValue,
    qos: qos.optional().meta({ description: 'Defaults to config.qos' }),
    encoding: encoding.optional(),
    properties: messageProperties.optional().meta({
      description:
        'response_topic: where the reply is awaited, not the topic of the message; when absent `<config.reply_prefix>/<API key id>/<random>`. correlation_data: 16 random bytes when absent; of requests that share a response topic each needs its own',
    }),
    wait_ms: z
      .int()
      .min(0)
      .max(25_000)
      .optional()
      .meta({ description: `From the acknowledgement on; defaults to ${DEFAULT_REPLY_WAIT_MS}` }),
  })
  .meta({ id: 'RequestPayload' })

export const requestBody = z.strictObject({
  ...common,
  operation: z.literal('request'),
  payload: requestPayload,
})

export const requested = published
  .extend({
    response_topic: z.string(),
    correlation_data: z.string().meta({ description: 'base64' }),
    reply: received.nullable().meta({ description: 'The first message with the same correlation data' }),
    no_reply: z.enum(['timeout', 'connection_ended', 'withheld', 'too_large', 'not_kept']).optional().meta({
      description:
        'Why `reply` is null: none came in time; the connection that it would have come on ended; policy or allow list did not let it through, or could not be asked; it is longer than an answer holds; an earlier attempt with this Idempotency-Key had one, and replies are not kept',
    }),
  })
  .meta({ id: 'Requested', description: '`outcome` is about the message, and holds with or without a reply' })

type RequestData = z.input<typeof requested> | z.input<typeof dryRun>

/** Milliseconds beyond its waiting time that a request gets for connecting, publishing and answering. */
const REQUEST_GRACE_MS = 5000

export const requestOperation: ProxyOperation<z.output<typeof requestBody>, RequestData> = {
  scopes: ['proxy:publish', 'proxy:subscribe'],
  async run({ request: requestReply }, request, body, integration) {
    const { message, encoding, topic, qos: wanted, properties, wait_ms: waitMs = DEFAULT_REPLY_WAIT_MS } = body.payload
    const { dry_run: dryRun = false } = body
    const given = request.header('request-deadline-ms') !== undefined
    const { result: data, recorded } = await requestReply({
      caller: request.caller,
      identity: request.identity,
      integration,
      messageId: request.messageId,
      payload: encodePayload(message, encoding),
      topic,
      qos: wanted,
      ...(properties && { properties: propertiesFromWire(properties) }),
      waitMs,
      deadlineMs: given ? request.deadlineMs : request.extend(request.startedMs + waitMs + REQUEST_GRACE_MS),
      admit: request.admit,
      beforeSending: request.beforeSending,
      clientGone: request.clientGone,
      dryRun,
    })
    const subject = integration.id
    if ('dry_run' in data) {
      await recorded // nothing was sent, and a failure must say so
      return { data, subject, keep: false, recorded }
    }
    if (data.reply !== null) return { data, subject, kept: { ...data, reply: null, no_reply: 'not_kept' }, recorded }
    const status = data.outcome === 'sent' || data.no_subscribers ? 202 : 200
    return { data, status, subject, kept: data, recorded }
  },
}
