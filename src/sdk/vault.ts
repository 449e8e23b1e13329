import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { custodyHeaders } from './custody-headers.ts'
import { readPages } from './pages.ts'
import { fromWire, toWire } from './wire-names.ts'

export type BrokerHost = {
  /** A DNS name or an address, never a URL. */
  hostname: string
  port: number
}

/** Values of a `custom_kv` that an integration with an MQTT broker uses; their names are those of the wire. */
export type BrokerCredential = (
  | (BrokerHost & { hosts?: never })
  /** One broker at 1 to 8 places, tried in their order until one lets us in. */
  | { hosts: readonly BrokerHost[]; hostname?: never; port?: never }
) & {
  username?: string
  password?: string
  /** PEM. */
  client_cert?: string
  client_key?: string
  ca_cert?: string
}

export interface SealInput {
  name?: string
  /** `custom_kv` for an MQTT broker. */
  credentialType: string
  /** For MQTT a {@link BrokerCredential}. */
  values: BrokerCredential | Record<string, unknown>
  ttlDays?: number
  metadata?: Record<string, unknown>
  /** A custody key is made, and nothing opens the entry without it: see {@link SealedEntry}. */
  splitCustody?: boolean
}

/** What is known of an entry without opening it. */
export interface VaultEntry {
  id: string
  credentialId: string
  name: string | null
  credentialType: string
  version: number
  algorithm: string
  metadata: Record<string, unknown>
  /** It opens only together with its custody key. */
  splitCustody: boolean
  /** `false` once it is deleted or expired. */
  isActive: boolean
  createdAt: string
  updatedAt: string
  expiresAt: string | null
  lastAccessedAt: string | null
}

export interface SealedEntry extends VaultEntry {
  /**
   * 32 bytes in base64url: the only copy, the server does not keep it. `null` where none was made, and where the answer
   * with it was lost and the server repeats what it did: then delete the entry and seal it again.
   */
  custodyKey: string | null
}

export interface CustodyOption {
  /** Of an entry in split custody. */
  custodyKey?: string
}

export interface RotateOptions extends CallOptions, CustodyOption {
  /** Makes a new custody key in place of the old one, also for an entry that had none. */
  splitCustody?: boolean
}

export interface VaultVersion {
  version: number
  credentialType: string
  isCurrent: boolean
  createdAt: string
}

export interface UnsealedEntry {
  id: string
  credentialType: string
  version: number
  values: Record<string, unknown>
}

export interface RotatedEntry {
  id: string
  credentialId: string
  version: number
  algorithm: string
  splitCustody: boolean
  /** A new one where `splitCustody` asked for it; otherwise as that of {@link SealedEntry}. */
  custodyKey: string | null
}

const ENTRIES = '/api/v2/vault/entries'

/** Broker credentials. Their values go in, and come out again only through `unseal`, which is audited. */
export function createVault(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    /** Seals credentials under a new id. */
    async seal({ splitCustody, ...input }: SealInput, options?: CallOptions): Promise<SealedEntry> {
      const headers = custodyHeaders({ splitCustody })
      const request = {
        method: 'POST',
        path: '/api/v2/vault/seal',
        headers,
        body: toWire(input),
        idempotent: true,
      } as const
      return fromWire(await call(request, options)) as SealedEntry
    },

    /** Opens the current version; one in split custody with its `custodyKey`. */
    async unseal(id: string, { custodyKey, ...options }: CallOptions & CustodyOption = {}): Promise<UnsealedEntry> {
      const path = `/api/v2/vault/unseal/${pathSegment(id)}`
      const headers = custodyHeaders({ custodyKey })
      return fromWire(await call({ method: 'POST', path, headers, body: {} }, options)) as UnsealedEntry
    },

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<VaultEntry[]> {
      return (await readPages(connection, ENTRIES, options)) as VaultEntry[]
    },

    async get(id: string, options?: CallOptions): Promise<VaultEntry> {
      return fromWire(await call({ method: 'GET', path: `${ENTRIES}/${pathSegment(id)}` }, options)) as VaultEntry
    },

    async versions(id: string, options?: CallOptions): Promise<VaultVersion[]> {
      const path = `${ENTRIES}/${pathSegment(id)}/versions`
      return fromWire(await call({ method: 'GET', path }, options)) as VaultVersion[]
    },

    /**
     * Replaces the values, or, without any, seals the same ones anew. The id stays, integrations follow. An entry in split
     * custody needs its `custodyKey`, or new values and `splitCustody`, which is the way out of a lost key.
     */
    async rotate(
      id: string,
      values?: BrokerCredential | Record<string, unknown>,
      { custodyKey, splitCustody, ...options }: RotateOptions = {},
    ): Promise<RotatedEntry> {
      const path = `/api/v2/vault/rotate/${pathSegment(id)}`
      const headers = custodyHeaders({ custodyKey, splitCustody })
      const request = { method: 'POST', path, headers, body: toWire({ values }), idempotent: true } as const
      return fromWire(await call(request, options)) as RotatedEntry
    },

    /** Deletes an entry that no integration uses; `object.in_use` names those that do. */
    async remove(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: `${ENTRIES}/${pathSegment(id)}` }, options)
    },
  }
}
