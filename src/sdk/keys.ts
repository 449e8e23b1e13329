import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { fromWire } from './wire-names.ts'

export type TenantKeyPurpose = 'vault' | 'sign' | 'object' | 'version-1'

/** The job that moves what old vault keys guard to the active one. */
export interface VaultMove {
  state: 'running' | 'waiting' | 'done'
  /** Records under old keys. */
  left: number
  /** Of these, the ones that move when their holder opens them. */
  inCustody: number
  /** Records of the last pass that did not open. */
  unusable: number
  unusableRecords: string[]
  /** Error code of what stopped it last; it goes on by itself. */
  problem: string | null
  nextRunAt: string | null
  finishedAt: string | null
}

export interface TenantKey {
  id: string
  purpose: TenantKeyPurpose
  state: 'next' | 'active' | 'retired' | 'revoked' | 'destroyed'
  createdAt: string
  retiredAt: string | null
  /** Vault records under it; `null` for other purposes. */
  records: number | null
  recordsInCustody: number | null
  /** On the active vault key, once there was a rotation. */
  move: VaultMove | null
}

export interface RotatedTenantKey {
  purpose: TenantKeyPurpose
  id: string
  retiredId: string | null
}

const PATH = '/api/v2/security/keys'

/** Keys of the tenant. */
export function createKeys({ call }: Pick<Connection, 'call'>) {
  return {
    /** Newest first for each purpose. */
    async list(options?: CallOptions): Promise<TenantKey[]> {
      return fromWire(await call({ method: 'GET', path: PATH }, options)) as TenantKey[]
    },

    /** Makes a new key active, for an API key with the role `owner`. */
    async rotate(purpose: TenantKeyPurpose, options?: CallOptions): Promise<RotatedTenantKey> {
      return fromWire(
        await call({ method: 'POST', path: `${PATH}/${pathSegment(purpose)}/rotate` }, options),
      ) as RotatedTenantKey
    },
  }
}
