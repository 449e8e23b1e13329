import { randomBytes } from 'node:crypto'
import { toBase64 } from '../core/base64.ts'
import type { Bytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { ReceivedMessage } from './gathering.ts'
import { unknownOutcome } from './outcome-errors.ts'
import { assertOperationAllowed, type DryRun, outcomeOfFailure } from './permission.ts'
import { awaited, type Publish, type PublishCommand, type Published, type PublishResult } from './publish.ts'
import { createReplyListener, type NoReply, type ReplyListenerDeps } from './reply-listener.ts'

/** A message to publish, and how long to wait for the reply; it is never retained. */
export interface RequestCommand extends Omit<PublishCommand, 'retain'> {
  /** Counted from the acknowledgement, within the deadline. Default 5,000. */
  readonly waitMs?: number | undefined
}

/** The answer as it goes to the caller: what became of the message, and the reply if there is one. */
export interface RequestResult extends PublishResult {
  response_topic: string
  /** Base64. */
  correlation_data: string
  reply: ReceivedMessage | null
  /** Why there is none. */
  no_reply?: NoReply
}

export type Request = (command: RequestCommand) => Promise<Published<RequestResult | DryRun>>

export interface RequestDeps extends ReplyListenerDeps {
  readonly publish: Publish
}

export const DEFAULT_REPLY_WAIT_MS = 5_000
const RANDOM_BYTES = 16

/** The topic that the caller names, or one of its own: nobody can guess it, and a policy can name its start. */
function replyTopicOf({ integration, identity, properties }: RequestCommand): string {
  if (properties?.responseTopic !== undefined) return properties.responseTopic
  const { replyPrefix } = integration.config
  if (replyPrefix === undefined || identity.clientId === undefined) {
    throw new AppError(
      'request.invalid',
      'payload.properties.response_topic: name the topic of the reply, or set config.reply_prefix of the integration; replies then go to <reply_prefix>/<API key id>/<random>.',
    )
  }
  return `${replyPrefix}/${identity.clientId}/${randomBytes(RANDOM_BYTES).toString('hex')}`
}

/**
 * Publishes a message and awaits its reply: subscribes to the response topic, publishes with it and with correlation data,
 * and takes the first message that bears the same data. The rules of `publish` hold, and for the response topic those of
 * `collect`: both operations must be allowed, policy or allow list judge both topics, both leave their rows in the audit log.
 *
 * Once the message is out, its outcome is the answer, with or without a reply. Fails with what a publish and a collect fail
 * with; when nobody acknowledged the message with `outcome.unknown`, whose `replied` says that a reply came all the same.
 */
export function createRequest({ publish, ...deps }: RequestDeps): Request {
  const { clock } = deps

  return async function request(command) {
    const { caller, identity, integration, messageId, deadlineMs, waitMs = DEFAULT_REPLY_WAIT_MS } = command
    assertOperationAllowed(integration, 'publish')
    assertOperationAllowed(integration, 'subscribe')
    if (integration.config.protocolVersion !== 5) {
      const why = 'MQTT 3.1.1 has no response topic; set config.protocol_version of the integration to 5'
      throw new AppError('request.invalid', `operation: request needs MQTT 5. ${why}.`)
    }
    const topic = replyTopicOf(command)
    if (topic === (command.topic ?? integration.config.topic)) {
      const why = 'is the topic of the message, which would be its own reply'
      throw new AppError('request.invalid', `payload.properties.response_topic: ${why}.`)
    }
    const correlationData: Bytes = command.properties?.correlationData ?? new Uint8Array(randomBytes(RANDOM_BYTES))
    const properties = { ...command.properties, responseTopic: topic, correlationData }
    const replyOf = { caller, identity, integration, topic, correlationData, waitMs, deadlineMs }
    const listener = createReplyListener(deps, replyOf)

    const beforeSending = async () => {
      await command.beforeSending?.()
      await listener.start()
    }

    let published: Awaited<ReturnType<Publish>>
    try {
      published = await publish({ ...command, retain: false, properties, beforeSending })
    } catch (err) {
      const { replied } = listener
      try {
        await listener.conclude(err)
      } catch (auditError) {
        if (outcomeOfFailure(err) !== 'unknown') throw auditError
      }
      if (replied && err instanceof AppError && err.code === 'outcome.unknown') {
        const details = { ...err.details, replied }
        throw new AppError(err.code, err.message, { details, cause: err.cause })
      }
      throw err
    }
    const { result, recorded } = published
    if ('dry_run' in result) return { result: { ...result, operation: 'request' }, recorded }

    const reply = await listener.wait(Math.min(clock.monotonic() + waitMs, deadlineMs))
    const concluded = listener.conclude().catch((auditError: unknown) => {
      throw unknownOutcome(messageId, auditError) // it was sent: "nothing was sent" would be a lie
    })
    const sent = { ...result, response_topic: topic, correlation_data: toBase64(correlationData) }
    return {
      result: typeof reply === 'string' ? { ...sent, reply: null, no_reply: reply } : { ...sent, reply },
      recorded: awaited(Promise.all([recorded, concluded]).then(() => undefined)),
    }
  }
}
