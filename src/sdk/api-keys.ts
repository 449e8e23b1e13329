import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { readPages } from './pages.ts'
import { fromWire, toWire } from './wire-names.ts'

export type Role = 'viewer' | 'editor' | 'admin' | 'owner'

export interface ApiKeyInput {
  name: string
  /** Defaults to `viewer`, the least. */
  role?: Role
  /** Fewer than the role has; all of the role's by default. */
  scopes?: string[]
  /** RFC 3339. */
  expiresAt?: string
  /** Addresses or CIDR ranges that may use the key. */
  allowedAddresses?: string[]
}

export interface ApiKey {
  id: string
  name: string
  role: Role
  scopes: string[]
  allowedAddresses: string[]
  /** The beginning of the key, to recognise it by. */
  keyPrefix: string
  isActive: boolean
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
}

export interface NewApiKey {
  key: ApiKey
  /** The API key itself; shown here and never again. */
  secret: string
}

const PATH = '/api/v2/security/api-keys'

/** API keys of the tenant. A key can give no more than its own role and scopes. */
export function createApiKeys(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    async create(input: ApiKeyInput, options?: CallOptions): Promise<NewApiKey> {
      return fromWire(await call({ method: 'POST', path: PATH, body: toWire(input) }, options)) as NewApiKey
    },

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<ApiKey[]> {
      return (await readPages(connection, PATH, options)) as ApiKey[]
    },

    async revoke(id: string, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: `${PATH}/${pathSegment(id)}` }, options)
    },
  }
}
