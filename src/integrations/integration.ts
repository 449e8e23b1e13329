import type { IntegrationConfig } from './config-schema.ts'

/** What a caller may be allowed to do through an integration; there is no word for "everything". */
export const operations = ['publish', 'subscribe'] as const
export type Operation = (typeof operations)[number]

/** A tenant's connection to one broker: which credential, which operations, which settings. Caches share it: treat it as frozen, all the way down. */
export interface Integration {
  readonly id: string
  readonly tenantId: string
  readonly name: string
  readonly systemType: 'mqtt'
  /** The vault entry that holds host, port and password; followed through its rotations. */
  readonly credentialId: string
  /** Empty refuses everything. */
  readonly allowedOperations: ReadonlySet<Operation>
  readonly config: IntegrationConfig
  readonly policyId: string | null
  readonly guards: unknown
  /** 1 for a new one, one more for each change; `"<revision>"` is the ETag. */
  readonly revision: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** The strong validator of this revision (RFC 9110 §8.8.3). */
export function etagOf(integration: Pick<Integration, 'revision'>): string {
  return `"${integration.revision}"`
}
