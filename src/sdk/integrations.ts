import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { readPages } from './pages.ts'
import { fromWire, toWire } from './wire-names.ts'

export type IntegrationOperation = 'publish' | 'subscribe'

export interface IntegrationConfig {
  /** The default topic, and with `topics` the allow list of an integration without a policy. */
  topic?: string
  /** Topic filters. */
  topics?: string[]
  qos?: 0 | 1 | 2
  /** Absent: `mqtts` when the port is 8883 or a certificate is given, else `mqtt`. */
  protocol?: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  protocolVersion?: 4 | 5
  tls?: { serverName?: string; alpn?: string[]; minVersion?: 'TLSv1.2' | 'TLSv1.3'; requirePqc?: boolean }
  wsPath?: string
  clientIdPrefix?: string
  keepaliveS?: number
  limits?: { maxTopicBytes?: number; maxPayloadBytes?: number; maxInFlight?: number }
}

export interface IntegrationInput {
  name: string
  systemType: 'mqtt'
  /** Id of a vault entry. */
  credentialId: string
  /** Default deny: without it, nothing is allowed. */
  allowedOperations: IntegrationOperation[]
  config: IntegrationConfig
  /** Decides instead of `config.topic` and `config.topics`; `null` takes it away. */
  policyId?: string | null
  /** Rate, QoS, retained and inspection guards; members are named as the server names them. `null` takes them away. */
  guards?: Readonly<Record<string, unknown>> | null
}

/** How the link to the broker is protected. */
export interface Posture {
  plaintext: boolean
  tlsVersion: string | null
  cipher: string | null
  group: string | null
  postQuantum: boolean
}

export interface Integration extends Required<IntegrationInput> {
  id: string
  /** Of the last link that the server made; `null` before the first one. */
  posture: Posture | null
  /** Says so where the link is not encrypted. */
  warning: string | null
  /** `If-Match` of a change is `"<revision>"`. */
  revision: number
  createdAt: string
  updatedAt: string
}

export interface ConnectionTest {
  connected: true
  latencyMs: number
  /** Name, TCP, TLS and WebSocket together; then CONNECT until CONNACK. */
  latency: { dialMs: number; connackMs: number }
  protocolVersion: 4 | 5
  /** What the broker granted with its CONNACK. */
  limits: {
    receiveMaximum: number
    maximumPacketSize: number
    maximumQos: 0 | 1 | 2
    retainAvailable: boolean
    wildcardSubscriptionAvailable: boolean
    sharedSubscriptionAvailable: boolean
  }
  posture: Posture
  /** Says so where the link is not encrypted. */
  warning: string | null
}

const PATH = '/api/v2/integrations'
const pathOf = (id: string) => `${PATH}/${pathSegment(id)}`
const ifMatch = (revision: number) => ({ 'If-Match': `"${revision}"` })

/** Which broker, with which credentials, for which operations and topics. */
export function createIntegrations(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    async create(input: IntegrationInput, options?: CallOptions): Promise<Integration> {
      return fromWire(
        await call({ method: 'POST', path: PATH, body: toWire(input), idempotent: true }, options),
      ) as Integration
    },

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<Integration[]> {
      return (await readPages(connection, PATH, options)) as Integration[]
    },

    async get(id: string, options?: CallOptions): Promise<Integration> {
      return fromWire(await call({ method: 'GET', path: pathOf(id) }, options)) as Integration
    },

    /** Changes the revision that the caller has seen; `precondition.failed` when there is a newer one. */
    async update(
      { id, revision }: Pick<Integration, 'id' | 'revision'>,
      changes: Partial<IntegrationInput>,
      options?: CallOptions,
    ): Promise<Integration> {
      const request = {
        method: 'PATCH',
        path: pathOf(id),
        headers: ifMatch(revision),
        body: toWire(changes),
        idempotent: true,
      } as const
      return fromWire(await call(request, options)) as Integration
    },

    /** Deletes the revision that the caller has seen. */
    async remove({ id, revision }: Pick<Integration, 'id' | 'revision'>, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: pathOf(id), headers: ifMatch(revision) }, options)
    },

    /** Connects to the broker and says how; neither publishes nor subscribes. */
    async test(id: string, options?: CallOptions): Promise<ConnectionTest> {
      const request = { method: 'POST', path: `${pathOf(id)}/test`, body: {}, repeatable: true } as const
      return fromWire(await call(request, options)) as ConnectionTest
    },
  }
}
