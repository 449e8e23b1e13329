import { copyBytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { Integration } from '../integrations/integration.ts'
import type { CustodyShare } from '../vault/vault.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import { lockedError } from './unlocks.ts'

/** What the pool asks of the vault. */
export interface CredentialSource {
  current(
    tenantId: string,
    id: string,
  ): Promise<{ version: number; custody: 0 | 1; expiresAt: Date | null } | undefined>
  open(
    tenantId: string,
    id: string,
    share?: CustodyShare,
  ): Promise<{ version: number; values: Readonly<Record<string, unknown>> }>
}

/** Where the shares of unlocked integrations are. */
export interface ShareSource {
  /** Resolves once nothing is known to have ended the unlock; absent where nothing is in doubt. */
  settled(integration: Integration): Promise<void> | undefined
  /** The caller wipes it. @throws {AppError} `integration.locked` */
  shareOf(integration: Integration, version: number): CustodyShare
}

/** That the credential of an integration may be used now. */
export interface CredentialUse {
  readonly version: number
  readonly inCustody: boolean
  /** @throws {AppError} `integration.locked` when it may not be used any more */
  assertUnlocked(): void
  /** Opens it. @throws {AppError} `integration.locked`; `vault.unavailable` when it took longer; what the vault throws */
  open(deadlineMs: number): Promise<Readonly<Record<string, unknown>>>
}

export type UseCredential = (
  integration: Integration,
  deadlineMs: number,
  ownShare?: CustodyShare,
) => Promise<CredentialUse>

function tooSlow(): AppError {
  return new AppError('vault.unavailable', 'The vault did not answer in time.', { retryAfterS: 1 })
}

async function inTime<T>(promise: Promise<T>, deadlineMs: number, clock: Clock): Promise<T> {
  const result = await withDeadline(promise, deadlineMs, clock)
  if (result === EXPIRED) throw tooSlow()
  return result
}

/**
 * Makes the one way to a credential: publish, collect, connection test and every reconnect pass it, so that none of them uses
 * one in split custody that nobody has unlocked. It is asked three times: before a connection is looked for, when the
 * credential is opened, and before it is shown to the broker.
 *
 * The function it makes names the version that applies now. `ownShare` is one that a caller brought, and the vault has
 * verified, for this use alone; it is the caller's to wipe.
 *
 * @throws {AppError} `integration.locked`; `credential.expired`; `integration.invalid` when the entry is gone;
 * `vault.unavailable` when nothing was found by the deadline (monotonic clock)
 */
export function createCredentialGate(deps: {
  vault: CredentialSource
  custody: ShareSource
  clock: Clock
}): UseCredential {
  const { vault, custody, clock } = deps

  return async function useCredential(integration, deadlineMs, ownShare) {
    const { tenantId, credentialId } = integration
    const current = await inTime(vault.current(tenantId, credentialId), deadlineMs, clock)
    if (!current) throw new AppError('integration.invalid', 'The credential of this integration no longer exists.')
    if (current.expiresAt !== null && current.expiresAt.getTime() <= clock.now()) {
      throw new AppError('credential.expired', 'The credential of this integration has expired: rotate it.')
    }
    const { version } = current
    const inCustody = current.custody === 1
    const unsettled = inCustody && !ownShare ? custody.settled(integration) : undefined
    if (unsettled) await inTime(unsettled, deadlineMs, clock)

    function share(): CustodyShare | undefined {
      if (!inCustody) return undefined
      return ownShare ? new Secret(copyBytes(ownShare.reveal())) : custody.shareOf(integration, version)
    }

    async function openWith(held: CustodyShare | undefined): Promise<Readonly<Record<string, unknown>>> {
      try {
        return (await vault.open(tenantId, credentialId, held)).values
      } catch (err) {
        // It came into split custody this very moment.
        if (err instanceof AppError && err.code === 'custody.required') throw lockedError(integration)
        throw err
      } finally {
        if (held) wipe(held.reveal())
      }
    }

    const use: CredentialUse = {
      version,
      inCustody,
      assertUnlocked() {
        const held = share()
        if (held) wipe(held.reveal())
      },
      open: (untilMs) => inTime(openWith(share()), untilMs, clock),
    }
    use.assertUnlocked()
    return use
  }
}
