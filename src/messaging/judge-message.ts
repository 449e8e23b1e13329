import type { AuditEvent } from '../audit/audit.ts'
import type { Bytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Guards } from '../guards/create-guards.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Identity } from '../policy/identity.ts'
import { validateTopicName } from '../policy/topic-name.ts'
import type { Access, Ruling } from './access.ts'
import { clip } from './audited.ts'
import type { OutgoingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { type GuardVerdict, guardPublish } from './message-guards.ts'
import { assertProperties, judgePublish, type MessageProperties } from './message-properties.ts'
import { deniedByPolicy } from './permission.ts'

/** A message as the caller asks for it. */
export interface MessageInput {
  /** Default: `config.topic`. */
  readonly topic?: string | undefined
  readonly payload: Bytes
  /** Default: `config.qos`. */
  readonly qos?: Qos | undefined
  readonly retain?: boolean | undefined
  readonly properties?: MessageProperties | undefined
}

/** What policy or allow list, and then the guards, say to one message. */
export interface Judged {
  readonly asked: OutgoingMessage
  /** As it is forwarded: with less QoS or without retain where policy or guards say so. */
  readonly message: OutgoingMessage
  readonly ruling: Ruling
  /** `null` where policy or allow list refused it first. */
  readonly guarded: GuardVerdict | null
  /** `null` when it may be sent. */
  readonly refusal: AppError | null
}

/**
 * Makes the message that is asked for, with the defaults of the integration. `member` is where the request has it, and
 * named by what is thrown.
 *
 * @throws {AppError} `request.invalid` for its topic or properties, `request.too_large` for its payload
 */
export function outgoingOf(
  { config }: Pick<Integration, 'config'>,
  messageId: string,
  { payload, qos = config.qos, retain = false, properties, ...input }: MessageInput,
  member = 'payload',
): OutgoingMessage {
  const topic = input.topic ?? config.topic
  if (topic === undefined) {
    throw new AppError('request.invalid', `${member}.topic: name a topic, or set config.topic of the integration.`)
  }
  const problem = validateTopicName(topic, { maxBytes: config.limits.maxTopicBytes })
  if (problem !== undefined) throw new AppError('request.invalid', `${member}.topic: ${problem}.`)
  const { maxPayloadBytes } = config.limits
  if (payload.length > maxPayloadBytes) {
    throw new AppError(
      'request.too_large',
      `${member}.message: longer than limits.max_payload_bytes (${maxPayloadBytes}).`,
    )
  }
  if (properties === undefined) return { topic, payload, qos, retain, messageId }
  assertProperties(properties, payload, config, member)
  return { topic, payload, qos, retain, messageId, properties }
}

/** Judges one message: policy or allow list, then the guards. A dry run pays no tokens. */
export function judgeMessage(
  { access, guards, identity, dryRun }: { access: Access; guards: Guards | null; identity: Identity; dryRun: boolean },
  asked: OutgoingMessage,
): Judged {
  const ruling = judgePublish(access, asked)
  if (!ruling.allowed) return { asked, message: asked, ruling, guarded: null, refusal: deniedByPolicy(ruling) }
  const allowed = { ...asked, qos: ruling.qos, retain: ruling.retain }
  const guarded = guardPublish(guards, allowed, identity, { dryRun })
  const message = { ...allowed, qos: guarded.qos, retain: guarded.retain }
  return { asked, message, ruling, guarded, refusal: guarded.refusal }
}

/** What is asked again was answered with less than is forwarded: it is not the message that would be allowed now. */
const LOWERED = 'it changed while the message waited for its connection, and allows a lower QoS or no retain flag'

/** Judges once more what is about to be forwarded; guards are not asked again, they have counted it. */
export function judgeAgain(access: Access, { asked, message }: Pick<Judged, 'asked' | 'message'>): Ruling {
  const ruling = judgePublish(access, asked)
  const lowered = message.qos > ruling.qos || (message.retain && !ruling.retain)
  return ruling.allowed && lowered ? { ...ruling, allowed: false, reason: LOWERED } : ruling
}

type Detail = NonNullable<AuditEvent['detail']>

/** Members of an audit row: what was asked for, and where policy or guards changed it, what is forwarded. */
export function saidOf({ asked, message }: Pick<Judged, 'asked' | 'message'>): Detail {
  const { topic, qos, retain, payload, properties } = asked
  return {
    topic: clip(topic),
    qos,
    retain,
    payload_bytes: payload.length,
    ...(properties?.responseTopic !== undefined && { response_topic: clip(properties.responseTopic) }),
    ...(message.qos !== qos && { forwarded_qos: message.qos }),
    ...(message.retain !== retain && { forwarded_retain: message.retain }),
  }
}

/** The same, and how it was decided. */
export function judgedDetail(judged: Judged): Detail {
  return { ...saidOf(judged), ...judged.ruling.record, ...judged.guarded?.record }
}
