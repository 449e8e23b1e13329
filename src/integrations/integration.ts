import type { GuardsConfig } from '../guards/guards-config.ts'
import { etagFor } from '../policies/if-match.ts'
import type { IntegrationConfig } from './config-schema.ts'

/** What a caller may be allowed to do through an integration; there is no word for "everything". */
export const operations = ['publish', 'subscribe'] as const
export type Operation = (typeof operations)[number]

/** A tenant's connection to one broker, as it is kept and shown: which credential, which operations, which settings. */
export interface StoredIntegration {
  readonly id: string
  readonly tenantId: string
  readonly name: string
  readonly systemType: 'mqtt'
  /** The vault entry that holds host, port and password; followed through its rotations. */
  readonly credentialId: string
  /** Empty refuses everything. */
  readonly allowedOperations: ReadonlySet<Operation>
  readonly config: IntegrationConfig
  /** Decides instead of `config.topic` and `config.topics`. One that is not there denies everything. */
  readonly policyId: string | null
  /** As the caller wrote them. */
  readonly guards: Readonly<Record<string, unknown>> | null
  /** 1 for a new one, one more for each change; `"<revision>"` is the ETag. */
  readonly revision: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** An integration ready for use, its guards parsed. Caches share it: treat it as frozen, all the way down. */
export interface Integration extends Omit<StoredIntegration, 'guards'> {
  readonly guards: GuardsConfig | null
}

/** The strong validator of this revision. */
export function etagOf(integration: Pick<StoredIntegration, 'revision'>): string {
  return etagFor(integration.revision)
}
