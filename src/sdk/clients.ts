import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { readPages } from './pages.ts'
import { fromWire, toWire } from './wire-names.ts'

/** What a value is compared with. Expressions match the whole text; an address may be a net such as `10.0.0.0/8`. */
export type BlockedType = 'client_id' | 'username' | 'ip' | 'client_id_regex' | 'username_regex'

export interface BlockedClientInput {
  type: BlockedType
  value: string
  description?: string
  /** RFC 3339; it does not expire by default. */
  expiresAt?: string
}

export interface BlockedClient {
  id: string
  type: BlockedType
  value: string
  description: string
  /** False once it has expired. */
  isActive: boolean
  createdAt: string
  /** The API key that made it. */
  createdBy: string
  expiresAt: string | null
}

/** A client that a hook did not let in; the members beside the counts are those of its last attempt. */
export interface UnauthorisedClient {
  id: string
  hook: string
  /** `null` for all that were too many to be listed one by one. */
  clientId: string | null
  username: string | null
  ip: string | null
  listener: string | null
  tls: boolean | null
  passwordProvided: boolean
  reason: string
  /** The provider that refused. */
  provider: string | null
  blockedClientId: string | null
  /** Attempts since `firstAt`. */
  count: number
  firstAt: string
  lastAt: string
  /** When a client of this id was let in afterwards; `null`: not since `lastAt`. */
  letInAt: string | null
}

export interface UnauthorisedFilter {
  hook?: string
  clientId?: string
  reason?: string
  /** `false`: only clients that were not let in since. */
  letIn?: boolean
}

const BLOCKED = '/api/v2/clients/blocked'
const UNAUTHORISED = '/api/v2/clients/unauthorised'

/** Clients that may not come in at any broker that asks the server. Needs `policies:read`, changes `policies:write`. */
export function createBlockedClients(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    /** Takes effect within five seconds; `object.in_use` names the entry that blocks the same already. */
    async create(input: BlockedClientInput, options?: CallOptions): Promise<BlockedClient> {
      const request = { method: 'POST', path: BLOCKED, body: toWire(input), idempotent: true } as const
      return fromWire(await call(request, options)) as BlockedClient
    },

    /** Reads all of them, page by page, newest first. */
    async list(options?: CallOptions): Promise<BlockedClient[]> {
      return (await readPages(connection, BLOCKED, options)) as BlockedClient[]
    },

    async get(id: string, options?: CallOptions): Promise<BlockedClient> {
      return fromWire(await call({ method: 'GET', path: `${BLOCKED}/${pathSegment(id)}` }, options)) as BlockedClient
    },

    async remove(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: `${BLOCKED}/${pathSegment(id)}` }, options)
    },
  }
}

/** Clients that were not let in lately. Needs `audit:read`, changes `policies:write`. */
export function createUnauthorisedClients(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    /** Reads all of them, page by page; the one that tried last comes first. */
    async list(filter: UnauthorisedFilter = {}, options?: CallOptions): Promise<UnauthorisedClient[]> {
      return (await readPages(
        connection,
        UNAUTHORISED,
        options,
        toWire(filter) as Record<string, string>,
      )) as UnauthorisedClient[]
    },

    /** It comes back with its next attempt that fails. */
    async remove(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: `${UNAUTHORISED}/${pathSegment(id)}` }, options)
    },

    /** Removes all of them. */
    async clear(options?: CallOptions): Promise<{ deleted: number }> {
      return fromWire(await call({ method: 'DELETE', path: UNAUTHORISED }, options)) as { deleted: number }
    },
  }
}
