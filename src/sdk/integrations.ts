import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { assertCustodyKey, custodyHeaders } from './custody-headers.ts'
import { readWhole } from './pages.ts'
import type { CustodyOption } from './vault.ts'
import { fromWire, toWire } from './wire-names.ts'

export type IntegrationOperation = 'publish' | 'subscribe'

export interface IntegrationConfig {
  /** The default topic, and with `topics` the allow list of an integration without a policy. */
  topic?: string
  /** Topic filters. */
  topics?: string[]
  /** Where requests await their replies unless they name a topic: `<replyPrefix>/<API key id>/<random>`. */
  replyPrefix?: string
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
  /** The credential opens only with the custody key of its holder. */
  splitCustody: boolean
  /** In split custody, and not unlocked in the process that answered: publish and collect are refused. */
  locked: boolean
  /** Until when the process that answered holds the custody key. */
  unlockedUntil: string | null
  /** `If-Match` of a change is `"<revision>"`. */
  revision: number
  createdAt: string
  updatedAt: string
}

export type IntegrationList = Integration[] & {
  /**
   * Ids of others, whose stored settings the server does not understand and does not use, as after going back to an older
   * version. `get` fails with `integration.invalid`; its details have the member, and the revision for `update` or `remove`.
   */
  readonly notUnderstood: readonly string[]
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

export interface UnlockInput {
  /** 32 bytes in base64url, as sealing the credential returned it. */
  custodyKey: string
  /** Seconds: 60 to 86,400; 3,600 by default. */
  ttlS?: number
}

export interface UnlockedIntegration {
  id: string
  locked: false
  unlockedUntil: string
  /** Other processes of the deployment do not have the key. */
  heldBy: 'this_process'
  /** Which process holds it; another one after a restart. */
  processId: string
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

    /** Reads all of them, page by page; of those whose stored settings the server does not understand the ids. */
    async list(options?: CallOptions): Promise<IntegrationList> {
      const { items, notUnderstood } = await readWhole(connection, PATH, options)
      return Object.assign(items as Integration[], { notUnderstood })
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

    /**
     * Connects to the broker and says how; neither publishes nor subscribes. A `custodyKey` opens a credential in split
     * custody for this test alone.
     */
    async test(id: string, { custodyKey, ...options }: CallOptions & CustodyOption = {}): Promise<ConnectionTest> {
      const headers = custodyHeaders({ custodyKey })
      const request = { method: 'POST', path: `${pathOf(id)}/test`, headers, body: {}, repeatable: true } as const
      return fromWire(await call(request, options)) as ConnectionTest
    },

    /**
     * Hands the custody key of the credential to the process that answers, which holds it in memory for `ttlS`. Several
     * processes each need it: call again until every `processId` has answered.
     */
    async unlock(id: string, input: UnlockInput, options?: CallOptions): Promise<UnlockedIntegration> {
      assertCustodyKey(input.custodyKey)
      const request = { method: 'POST', path: `${pathOf(id)}/unlock`, body: toWire(input) } as const
      return fromWire(await call(request, options)) as UnlockedIntegration
    },

    /** Ends what `unlock` began, in every process. */
    async lock(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'POST', path: `${pathOf(id)}/lock`, body: {}, repeatable: true }, options)
    },
  }
}
