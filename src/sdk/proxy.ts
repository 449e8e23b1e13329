import { toBase64 } from '../core/base64.ts'
import { type CallOptions, type Connection, newIdempotencyKey } from './connection.ts'
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
}

export interface PublishOptions extends CallOptions {
  /** Names the publish across processes, 1 to 255 of `[A-Za-z0-9_:-]`; the server remembers it for 24 h. Random by default. */
  idempotencyKey?: string
  /** How long the server may wait for the broker: 10,000 by default, at most 30,000. */
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
  properties: Record<string, unknown>
  receivedAt: string
}

export interface SubscribeResult {
  grantedQos: 0 | 1 | 2
  messages: ReceivedMessage[]
  truncated: boolean
}

export interface DryRunResult {
  dryRun: true
  allowed: boolean
  operation: 'publish' | 'subscribe'
  topic: string
  /** One line for each check, in order. */
  trace: string[]
}

const OPERATION = 'proxy.outbound'
const PATH = '/api/v2/proxy/outbound'

function encodingOf(input: PublishInput): { message: unknown; encoding: 'utf8' | 'base64' | 'json' } {
  const { message, encoding } = input
  if (message instanceof Uint8Array) return { message: toBase64(message), encoding: 'base64' }
  return { message, encoding: encoding ?? (typeof message === 'string' ? 'utf8' : 'json') }
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
    input: PublishInput | SubscribeInput,
    options: PublishOptions,
    dryRun?: true,
  ) {
    const ready = needReader(reader)
    const idempotencyKey = parseIdempotencyKey(options.idempotencyKey ?? newIdempotencyKey())
    const headers = options.deadlineMs === undefined ? {} : { 'Request-Deadline-Ms': String(options.deadlineMs) }
    const { integrationId, ...payload } = 'message' in input ? { ...input, ...encodingOf(input) } : input
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
     * Subscribes, collects messages until a bound is met, and unsubscribes.
     *
     * @throws {SealwireError}
     */
    async subscribe(input: SubscribeInput, options: CallOptions = {}): Promise<Opened<SubscribeResult>> {
      const opened = await outbound('subscribe', input, options)
      return opened as Opened<SubscribeResult>
    },

    /** Runs every check that the call would meet, and sends nothing to the broker. */
    async dryRun(
      operation: 'publish' | 'subscribe',
      input: PublishInput | SubscribeInput,
      options: CallOptions = {},
    ): Promise<Opened<DryRunResult>> {
      const opened = await outbound(operation, input, options, true)
      return opened as Opened<DryRunResult>
    },
  }
}
