import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { ReadSecret } from './secret-source.ts'

/** What every factory of a provider is given beside its settings; each takes the part that it needs. */
export interface ProviderDeps {
  /** As configured; unique in its file. */
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  /** Throws `SecretUnavailable`, which the factory lets pass: the start names it with the place of the section. */
  readonly readSecret: ReadSecret
}
