import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Resolve } from '#src/outbound/resolver.ts'
import { startApiServer, succeed } from '#test/support/api-server.ts'
import type { Identity } from '#test/support/certificates.ts'
import { type FakeBroker, type FakeBrokerOptions, startFakeBroker } from '#test/support/fake-broker.ts'
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from '#test/support/fault-proxy.ts'
import { patience } from '#test/support/patience.ts'
import { openAnswer } from '#test/support/plant.ts'
import { startTlsFront, type TlsFront } from '#test/support/tls-front.ts'

/** Of every request that names none, and of every connection to a broker, by configuration. */
export const DEADLINE_MS = 300
/** What a loaded machine may add to an answer before a test calls it late. */
const SLACK_MS = 2_000

export interface Answer {
  status: number
  /** `acknowledged` or `sent`, of an answer that was opened. */
  outcome: string | undefined
  code: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: details have many shapes
  details: any
  retryAfterS: number
  requestId: string
  /** Of the answer or its error. */
  messageId: string | undefined
  ms: number
}

export interface PublishAsk {
  topic?: string
  message?: string
  qos?: 0 | 1 | 2
  retain?: boolean
  /** As `Request-Deadline-Ms`, for what is not under test; by configuration without it. */
  deadlineMs?: number
}

export interface AuditRow {
  action: string
  outcome: string
  message_id: string | null
  detail: Record<string, unknown>
}

/** An integration whose broker is a scripted one, behind a proxy. */
export interface Line {
  readonly broker: FakeBroker
  readonly proxy: FaultProxy
  /** What the server meets, where there is a certificate. */
  readonly front: TlsFront | undefined
  readonly integrationId: string
  readonly credentialId: string
  publish(ask?: PublishAsk): Promise<Answer>
  collect(payload: object): Promise<Answer & { data?: unknown }>
}

export interface LineOptions {
  readonly broker?: FakeBrokerOptions
  readonly proxy?: Omit<FaultProxyOptions, 'toPort'>
  readonly config?: Record<string, unknown>
  readonly credential?: Record<string, unknown>
  /** Puts TLS with this certificate before the proxy. */
  readonly identity?: Identity
  /** Leads past the proxy, to this port. */
  readonly port?: number
  /** Connects, with a publish that nobody counts. */
  readonly connected?: boolean
}

/** A whole server in this process with deadlines of 300 ms, and lines to brokers that misbehave. */
export async function startNetwork(env: Record<string, string> = {}, parts: { resolve?: Resolve } = {}) {
  await using stack = new AsyncDisposableStack()
  const deadlines = { REQUEST_DEADLINE_MS: String(DEADLINE_MS), BROKER_CONNECT_TIMEOUT_MS: String(DEADLINE_MS) }
  const lines = new AsyncDisposableStack() // brokers go before the server, which then has nothing to drain
  const api = stack.adopt(await startApiServer({ ...deadlines, ...env }, parts), (one) => one.close())

  async function outbound(integrationId: string, operation: string, payload: object, deadlineMs?: number) {
    const startedMs = performance.now()
    const reply = await api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: integrationId, operation, payload },
      ...(deadlineMs !== undefined && { headers: { 'request-deadline-ms': String(deadlineMs) } }),
    })
    const ms = performance.now() - startedMs
    const opened = reply.status < 300 ? await openAnswer(api, reply.json.data) : undefined
    const { error } = reply.json
    return {
      status: reply.status,
      outcome: opened?.data.outcome,
      code: error?.code,
      details: error?.details,
      retryAfterS: Number(reply.headers.get('retry-after') ?? 0),
      requestId: reply.headers.get('x-request-id') as string,
      messageId: opened?.data.message_id ?? error?.details?.message_id,
      ms,
      data: opened?.data,
    }
  }

  /**
   * Publishes, and once more where the 300 ms passed before an intent was on record, as they may on a machine that is busy
   * elsewhere: that is truly answered, and the fault was not met yet.
   */
  async function publish(integrationId: string, payload: object, deadlineMs?: number) {
    for (let tries = 1; ; tries++) {
      const answer = await outbound(integrationId, 'publish', payload, deadlineMs)
      const isMet = answer.code !== 'audit.unavailable' && answer.code !== 'database.unavailable'
      if (isMet || deadlineMs !== undefined || tries === 20) return answer
    }
  }

  /** A line, and where it is to be connected one whose first connection was made in 300 ms, which a busy machine may miss. */
  async function line(options: LineOptions = {}): Promise<Line> {
    for (let tries = 1; ; tries++) {
      const one = await makeLine(options)
      if (!options.connected) return one
      const { status, code } = await one.publish({ deadlineMs: 10_000 })
      if (status === 200) return one
      assert.ok(code === 'broker.unreachable' && tries < 20, `the line does not work: ${code}`)
    }
  }

  async function makeLine(options: LineOptions): Promise<Line> {
    const broker = lines.adopt(await startFakeBroker(options.broker), (one) => one.stop())
    const proxy = lines.adopt(await startFaultProxy({ toPort: broker.port, ...options.proxy }), (one) => one.stop())
    const front =
      options.identity && lines.adopt(await startTlsFront(proxy.port, options.identity), (one) => one.stop())
    const port = options.port ?? front?.port ?? proxy.port
    const values = { hostname: '127.0.0.1', port, ...options.credential }
    const sealing = api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } })
    const { id: credentialId } = await succeed(sealing, 201)
    const members = { name: 'line', system_type: 'mqtt', allowed_operations: ['publish', 'subscribe'] }
    const config = { topic: 'line/4', topics: ['#'], qos: 1, ...options.config }
    const body = { ...members, credential_id: credentialId, config }
    const { id: integrationId } = await succeed(api.call('POST', '/api/v2/integrations', { body }), 201)
    const one: Line = {
      broker,
      proxy,
      front,
      integrationId,
      credentialId,
      publish: ({ message = '22.5', deadlineMs, ...ask } = {}) =>
        publish(integrationId, { message, ...ask }, deadlineMs),
      collect: (payload) => outbound(integrationId, 'subscribe', payload, 10_000),
    }
    return one
  }

  /** Rows of one request or message, oldest first. */
  async function auditOf(of: { requestId: string } | { messageId: string }): Promise<AuditRow[]> {
    const query = 'requestId' in of ? `request_id=${of.requestId}` : `message_id=${of.messageId}`
    const rows = await succeed(api.call('GET', `/api/v2/audit/logs?${query}&limit=100`))
    return rows.reverse()
  }

  /** Connections to brokers that the server counts as its own. */
  async function connections(): Promise<number> {
    const text = await (await fetch(`${api.url}/metrics`)).text()
    return Number(/^sealwire_pool_connections (\d+)$/m.exec(text)?.[1])
  }

  await succeed(api.call('GET', '/api/v2/audit/logs')) // the key is known from here on
  const running = stack.move()
  return {
    api,
    line,
    auditOf,
    connections,
    async close() {
      await lines.disposeAsync()
      await running.disposeAsync()
    },
  }
}

export type Network = Awaited<ReturnType<typeof startNetwork>>

/** The ends that a publish can have, and what each looks like in the answer and on record. */
const ends = {
  acknowledged: { status: 200, audit: 'success' },
  sent: { status: 202, audit: 'success' },
  unknown: { status: 504, audit: 'unknown' },
  rejected: { status: 0, audit: 'failure' },
  denied: { status: 0, audit: 'denied' },
} as const

/**
 * Asserts how a publish ended: in the answer, within its deadline, on record with intent and outcome under one message id,
 * and, as far as it is a promise about the broker, in the broker's own log.
 */
export async function assertEnd(
  network: Network,
  { broker }: Pick<Line, 'broker'>,
  answer: Answer,
  end: keyof typeof ends,
  refusal: { status: number; code: string; reasonCode?: number } = { status: 504, code: 'outcome.unknown' },
): Promise<void> {
  const { status, audit } = ends[end]
  const isRefused = end === 'rejected' || end === 'denied'
  const isRefusal = isRefused || end === 'unknown'
  assert.equal(answer.status, isRefused ? refusal.status : status, `${answer.code} ${answer.outcome}`)
  assert.equal(answer.code, isRefusal ? refusal.code : undefined)
  assert.equal(answer.outcome, isRefusal ? undefined : end)
  assert.ok(answer.ms < patience(DEADLINE_MS + SLACK_MS), `answered after ${answer.ms} ms`)

  const rows = await network.auditOf({ requestId: answer.requestId })
  assert.deepEqual(
    rows.map(({ action, outcome }) => `${action} ${outcome}`),
    [
      'proxy.publish.intent success',
      `proxy.publish.outcome ${audit}`,
      ...(end === 'denied' ? ['request.refused denied'] : []), // as everything that its caller may not do
    ],
  )
  const [intent, outcome] = rows as [AuditRow, AuditRow]
  assert.equal(intent.message_id, outcome.message_id)
  assert.equal(outcome.detail['code'], answer.code)
  assert.equal(outcome.detail['outcome'], isRefusal ? undefined : end)
  if (refusal.reasonCode !== undefined) {
    assert.equal(answer.details.reason_code, refusal.reasonCode)
    assert.equal(outcome.detail['reason_code'], refusal.reasonCode)
  }

  const seen = publishesOf(broker, intent.message_id as string)
  if (!isRefused) assert.equal(answer.messageId, intent.message_id)
  if (end === 'acknowledged') {
    assert.equal(seen.length, 1, 'the broker has it once')
    const acks = broker.log.filter(
      ({ direction, packet }) =>
        direction === 'out' &&
        (packet.cmd === 'puback' || packet.cmd === 'pubcomp') &&
        packet.messageId === seen[0]?.messageId &&
        (packet.reasonCode ?? 0) < 0x80,
    )
    assert.ok(acks.length > 0, 'the broker has acknowledged it')
  }
  if (end === 'unknown') assert.ok(seen.length <= 1, 'nothing is sent a second time')
  // What the broker itself has refused it has seen.
  if (isRefused && refusal.code !== 'broker.rejected') assert.equal(seen.length, 0, 'nothing was sent')
}

/** Asserts that a broker's earlier failure was the answer, before anything began: it is counted, and has no rows. */
export async function assertRemembered(
  network: Network,
  answer: Answer,
  refusal: { status: number; code: string; reasonCode?: number },
): Promise<void> {
  assert.deepEqual([answer.status, answer.code], [refusal.status, refusal.code])
  assert.equal(answer.details?.reason_code, refusal.reasonCode)
  assert.ok(answer.retryAfterS >= 1)
  assert.deepEqual(await network.auditOf({ requestId: answer.requestId }), [])
}

/** Every PUBLISH that carries this message id. */
export function publishesOf(broker: FakeBroker, messageId: string) {
  return broker
    .packetsOf('publish')
    .filter(({ properties }) => properties?.userProperties?.['sealwire-message-id'] === messageId)
}

/** Every socket that this process opens while `work` goes on. */
export async function socketsOf<T>(work: () => Promise<T>): Promise<{ result: T; sockets: readonly Socket[] }> {
  const sockets: Socket[] = []
  const note = (message: unknown) => void sockets.push((message as { socket: Socket }).socket)
  subscribe('net.client.socket', note)
  try {
    return { result: await work(), sockets }
  } finally {
    unsubscribe('net.client.socket', note)
  }
}

export async function until(happened: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + patience(ms)
  while (!(await happened())) {
    assert.ok(performance.now() < end, `it did not happen within ${ms} ms: ${String(happened)}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
