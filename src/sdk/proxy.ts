import { toBase64 } from '../core/base64.ts'
import { type CallOptions, type Connection, newIdempotencyKey } from './connection.ts'
import { type MessageProperties, type ReceivedProperties, textOfProperties } from './message-properties.ts'
import { getMessage, type MessageStatus } from './message-status.ts'
import { type BatchDryRunResult, type BatchInput, type BatchResult, batchOf } from './publish-batch.ts'
import { type Opened, type Reader, sealedCall } from './sealed-call.ts'
import { SealwireError } from './sealwire-error.ts'
import { fromWire, toWire } from './wire-names.ts'

export interface PublishInput {
  integrationId: string
  /** Defaults to the integration's `config.topic`. */
  topic?: string
  /** Text, bytes, or, with `encoding: 'json'`, any JSON value. */
  message: unknown
  /** Defaults to `utf8` for text, `base64` for bytes, `json` for anything else. */
  encoding?: 'utf8' | 'base64' | 'json'
  qos?: 0 | 1 | 2
  retain?: boolean
  properties?: MessageProperties
}

export interface RequestInput extends Omit<PublishInput, 'retain'> {
  /**
   * `responseTopic` is where the reply is awaited, not the topic of the message; by default a fresh topic under the `replyPrefix` of the integration.
   * `correlationData` tells replies apart; by default 16 random bytes.
   */
  properties?: MessageProperties
  /** Milliseconds from the acknowledgement on, 0 to 25,000; 5,000 by default. */
  waitMs?: number
}

export interface PublishOptions extends CallOptions {
  /** Names the publish across processes, 1 to 255 of `[A-Za-z0-9_:-]`; the server remembers it for 24 h. Random by default. */
  idempotencyKey?: string
  /** How long the server may wait for the broker, at most 30,000: its `REQUEST_DEADLINE_MS` (10,000) without one. */
  deadlineMs?: number
}

export interface PublishResult {
  outcome: 'acknowledged' | 'sent'
  noSubscribers?: true
  messageId: string
  integrationId: string
  topic: string
  qos: 0 | 1 | 2
  retain: boolean
  reasonCode: number | null
  sentAt: string
  acknowledgedAt: string | null
  /** Present when an earlier attempt with the same key did the work. */
  replayed?: true
}

export interface SubscribeInput {
  integrationId: string
  /** A topic filter; defaults to the integration's `config.topic`. */
  topic?: string
  qos?: 0 | 1 | 2
  /** 1 to 1,000; 100 by default. The call ends as soon as one bound is met. */
  maxMessages?: number
  /** 0 to 25,000; 5,000 by default. */
  waitMs?: number
  maxBytes?: number
}

export interface ReceivedMessage {
  topic: string
  message: string
  encoding: 'utf8' | 'base64'
  qos: 0 | 1 | 2
  retain: boolean
  /** MQTT 5 properties that the publisher gave. */
  properties: ReceivedProperties
  receivedAt: string
}

export interface SubscribeResult {
  grantedQos: 0 | 1 | 2
  messages: ReceivedMessage[]
  /** There may have been more: a bound was met, or the broker, or what says what is allowed, was away meanwhile. */
  truncated: boolean
}

/** What became of the message, which holds with or without a reply, and the reply. */
export interface RequestResult extends PublishResult {
  responseTopic: string
  /** Base64. */
  correlationData: string
  reply: ReceivedMessage | null
  /**
   * Why there is no reply: none came in time, the connection that it would have come on ended, policy or allow list withheld
   * it or could not be asked, it is longer than an answer holds, or an earlier attempt with the same key had one, and replies are not kept.
   */
  noReply?: 'timeout' | 'connection_ended' | 'withheld' | 'too_large' | 'not_kept'
}

export interface DryRunResult {
  dryRun: true
  allowed: boolean
  operation: 'publish' | 'subscribe' | 'request'
  topic: string
  /** As they would be forwarded, or asked of the broker. */
  qos: 0 | 1 | 2
  retain: boolean
  /** Why policy or allow list say what they say. */
  reason: string
  /** Id of the rule that decided. */
  rule: string | null
  /** `null`: `config.topic` and `config.topics` decided. */
  policyId: string | null
  policyRevision: number | null
  /** What a guard would refuse or record. */
  guard: string | null
  /** One line for each check, in order. */
  trace: string[]
}

const OPERATION = 'proxy.outbound'
const PATH = '/api/v2/proxy/outbound'

function encodingOf(input: PublishInput | RequestInput): { message: unknown; encoding: 'utf8' | 'base64' | 'json' } {
  const { message, encoding } = input
  if (message instanceof Uint8Array) return { message: toBase64(message), encoding: 'base64' }
  return { message, encoding: encoding ?? (typeof message === 'string' ? 'utf8' : 'json') }
}

function messageOf(input: PublishInput | RequestInput): PublishInput | RequestInput {
  const { properties } = input
  return { ...input, ...encodingOf(input), ...(properties && { properties: textOfProperties(properties) }) }
}

function parseIdempotencyKey(key: string): string {
  if (/^[A-Za-z0-9_:-]{1,255}$/.test(key)) return key
  const message = 'idempotencyKey: must be 1 to 255 characters of A-Z, a-z, 0-9, "_", ":" and "-".'
  throw new SealwireError('request.invalid', message, { outcome: 'rejected' })
}

function needReader(reader: Reader | undefined): Reader {
  if (reader) return reader
  const message =
    'The answer of this call is sealed and this client has no recipient to open it. Enrol one with ' +
    'client.recipients.enroll() or `sealwire recipients enroll --out recipient.json`, and pass it as `recipient`.'
  throw new SealwireError('recipient.required', message, { outcome: 'rejected' })
}

/** Calls that go through to a broker. Their answers are verified and opened before anything in them is believed. */
export function createProxy(connection: Connection, reader: Reader | undefined) {
  async function outbound(
    operation: string,
    input: PublishInput | SubscribeInput | RequestInput | BatchInput,
    options: PublishOptions,
    dryRun?: true,
  ) {
    const ready = needReader(reader)
    const idempotencyKey = parseIdempotencyKey(options.idempotencyKey ?? newIdempotencyKey())
    const headers = options.deadlineMs === undefined ? {} : { 'Request-Deadline-Ms': String(options.deadlineMs) }
    const { integrationId, ...payload } =
      'message' in input ? messageOf(input) : 'messages' in input ? batchOf(input) : input
    const body = toWire({ integrationId, operation, payload, dryRun })
    const call = { method: 'POST', path: PATH, operation: OPERATION, idempotencyKey, headers, body } as const
    const { result, envelope } = await sealedCall(connection, ready, call, options)
    return { result: fromWire(result), envelope }
  }

  return {
    /**
     * Publishes one message. Repeated attempts carry one idempotency key, so the message goes out once.
     *
     * @throws {SealwireError} outcome `unknown` when the message may have gone out
     */
    async publish(input: PublishInput, options: PublishOptions = {}): Promise<Opened<PublishResult>> {
      const opened = await outbound('publish', input, options)
      return opened as Opened<PublishResult>
    },

    /**
     * Publishes 1 to 1,000 messages in order, under one envelope, and tells what became of each. A result with `outcome:
     * 'partial'` holds messages that did not go out. What was not written when the connection was lost or the deadline passed
     * is `unavailable`; send those again with another call, and those that are `unknown` only if they may arrive twice.
     *
     * @throws {SealwireError} when no message went out, with `details.counts`, and `details.items` unless all ended alike;
     * outcome `unknown` when one may have. A malformed message refuses the whole: the error names `payload.messages[17]`
     */
    async publishBatch(input: BatchInput, options: PublishOptions = {}): Promise<Opened<BatchResult>> {
      const opened = await outbound('publish', input, options)
      return opened as Opened<BatchResult>
    },

    /**
     * Subscribes, collects messages until a bound is met, and unsubscribes.
     *
     * @throws {SealwireError}
     */
    async subscribe(input: SubscribeInput, options: CallOptions = {}): Promise<Opened<SubscribeResult>> {
      const opened = await outbound('subscribe', input, options)
      return opened as Opened<SubscribeResult>
    },

    /**
     * Publishes a message and awaits its reply: the first message on its response topic that bears its correlation data.
     * Needs MQTT 5, and an integration that allows `publish` and `subscribe`. Without a reply in time, `reply` is `null` and
     * `noReply` says why; what became of the message is told all the same.
     *
     * @throws {SealwireError} outcome `unknown` when the message may have gone out; `details.replied` is then `true` where a
     * reply came all the same. Its content is not told: an error may travel without an envelope
     */
    async request(input: RequestInput, options: PublishOptions = {}): Promise<Opened<RequestResult>> {
      const opened = await outbound('request', input, options)
      return opened as Opened<RequestResult>
    },

    /**
     * Tells what became of a message, by the `messageId` of an answer or of an error's `details`; `msg_….17` is message 17 of
     * a batch, from 0. An acknowledgement that came after the answer is told too.
     *
     * @throws {SealwireError} `object.not_found` when nothing of it has been sent so far; while its publish runs (409
     * `idempotency.running`), that may change
     */
    async message(id: string, options: CallOptions = {}): Promise<Opened<MessageStatus>> {
      return getMessage(connection, needReader(reader), id, options)
    },

    /** Tells of every message of a batch whether it would be allowed, as if it came alone, and sends nothing. */
    async dryRunBatch(input: BatchInput, options: CallOptions = {}): Promise<Opened<BatchDryRunResult>> {
      const opened = await outbound('publish', input, options, true)
      return opened as Opened<BatchDryRunResult>
    },

    /** Runs every check that the call would meet, and sends nothing to the broker. */
    async dryRun(
      operation: 'publish' | 'subscribe' | 'request',
      input: PublishInput | SubscribeInput | RequestInput,
      options: CallOptions = {},
    ): Promise<Opened<DryRunResult>> {
      const opened = await outbound(operation, input, options, true)
      return opened as Opened<DryRunResult>
    },
  }
}
