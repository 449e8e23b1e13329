import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { readPages } from './pages.ts'
import { fromWire, toWire } from './wire-names.ts'

export interface SealInput {
  name?: string
  /** `custom_kv` for an MQTT broker. */
  credentialType: string
  /** For MQTT: `hostname`, `port`, and where needed `username`, `password`, `client_cert`, `client_key`, `ca_cert`. */
  values: Record<string, unknown>
  ttlDays?: number
  metadata?: Record<string, unknown>
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
  /** `false` once it is deleted or expired. */
  isActive: boolean
  createdAt: string
  updatedAt: string
  expiresAt: string | null
  lastAccessedAt: string | null
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
}

const ENTRIES = '/api/v2/vault/entries'

/** Broker credentials. Their values go in, and come out again only through `unseal`, which is audited. */
export function createVault(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    /** Seals credentials under a new id. */
    async seal(input: SealInput, options?: CallOptions): Promise<VaultEntry> {
      const data = await call(
        { method: 'POST', path: '/api/v2/vault/seal', body: toWire(input), idempotent: true },
        options,
      )
      return fromWire(data) as VaultEntry
    },

    /** Opens the current version. */
    async unseal(id: string, options?: CallOptions): Promise<UnsealedEntry> {
      const path = `/api/v2/vault/unseal/${pathSegment(id)}`
      return fromWire(await call({ method: 'POST', path, body: {} }, options)) as UnsealedEntry
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

    /** Replaces the values, or, without any, seals the same ones anew. The id stays, integrations follow. */
    async rotate(id: string, values?: Record<string, unknown>, options?: CallOptions): Promise<RotatedEntry> {
      const path = `/api/v2/vault/rotate/${pathSegment(id)}`
      return fromWire(
        await call({ method: 'POST', path, body: toWire({ values }), idempotent: true }, options),
      ) as RotatedEntry
    },

    /** Deletes an entry that no integration uses; `object.in_use` names those that do. */
    async remove(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: `${ENTRIES}/${pathSegment(id)}` }, options)
    },
  }
}
