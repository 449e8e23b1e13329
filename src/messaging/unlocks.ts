import { copyBytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { Integration } from '../integrations/integration.ts'
import type { CustodyShare } from '../vault/vault.ts'

type Of = Pick<Integration, 'tenantId' | 'id'>

/** What an integration was unlocked for. Another credential, another version or a later lock make it void. */
export interface Grant {
  readonly tenantId: string
  readonly integrationId: string
  readonly credentialId: string
  readonly version: number
  /** How often the integration had been locked when its holder handed the share in. */
  readonly locks: number
}

export interface Unlock extends Grant {
  /** Wall clock. */
  readonly unlockedUntil: Date
}

/** `locked`: by a caller, here or in another process; the others by this process. */
export type UnlockEnd = 'locked' | 'expired' | 'credential_changed' | 'integration_changed' | 'stopped'

/** Integrations that one process holds shares for: of all tenants, and of one. */
const MAX_UNLOCKS = 1_000
const TENANT_MAX = 200
/** Milliseconds until a share is looked at again: the monotonic clock may stand while the machine sleeps. */
const LOOK_EVERY_MS = 30_000

interface Held {
  readonly unlock: Unlock
  readonly share: CustodyShare
  /** On the monotonic clock. */
  readonly untilMs: number
  timer: NodeJS.Timeout | undefined
}

export interface Unlocks extends Iterable<Unlock> {
  /**
   * Keeps a place free until the returned function is called.
   *
   * @throws {AppError} `quota.exceeded`
   */
  reserve(integration: Of): () => void
  /** Takes over a share that was verified, in place of an earlier one, and wipes it in the end. */
  accept(grant: Grant, share: CustodyShare, ttlMs: number): Unlock
  find(integration: Of): Unlock | undefined
  /**
   * Copies the share of an unlock that fits; the caller wipes it.
   *
   * @throws {AppError} `integration.locked`
   */
  shareOf(integration: Of & Pick<Integration, 'credentialId'>, version: number): CustodyShare
  /** Wipes the share; `false` when there was none. */
  end(integration: Of, reason: UnlockEnd): boolean
  /** Wipes every share; nothing is accepted any more. */
  close(): void
}

const keyOf = ({ tenantId, id }: Of) => `${tenantId}/${id}`

/** The refusal of whatever needs the credential of an integration that nobody has unlocked here. */
export function lockedError({ id }: Pick<Integration, 'id'>): AppError {
  const unlock = `/api/v2/integrations/${id}/unlock`
  const text = `The credential of this integration is in split custody, and its share is not in this process: a holder hands it in with POST ${unlock}.`
  return new AppError('integration.locked', text, { details: { integration_id: id, unlock } })
}

/**
 * Holds the custody shares that were handed in, in the memory of this process alone, until their time is over on the monotonic
 * clock or on the wall clock, whichever says so first. `ended` hears of every unlock that ends, after its share was wiped.
 */
export function createUnlocks(deps: { clock: Clock; ended: (unlock: Unlock, reason: UnlockEnd) => void }): Unlocks {
  const { clock, ended } = deps
  const unlocks = new Map<string, Held>()
  const reserved = new Set<Of>()
  let closed = false

  const all = () => [...unlocks.values()].map(({ unlock }) => unlock)

  function forget(key: string): Held | undefined {
    const held = unlocks.get(key)
    if (!held) return undefined
    unlocks.delete(key)
    clearTimeout(held.timer)
    wipe(held.share.reveal())
    return held
  }

  function end(integration: Of, reason: UnlockEnd): boolean {
    const held = forget(keyOf(integration))
    if (held) ended(held.unlock, reason)
    return held !== undefined
  }

  function live(integration: Of): Held | undefined {
    const held = unlocks.get(keyOf(integration))
    const isOver = held && (clock.monotonic() >= held.untilMs || clock.now() >= held.unlock.unlockedUntil.getTime())
    if (!isOver) return held
    end(integration, 'expired')
    return undefined
  }

  /** A timer may come early by a fraction of a millisecond, and on a stopped clock by any time. */
  function expireLater(held: Held): void {
    const leftMs = Math.min(LOOK_EVERY_MS, Math.max(1, Math.ceil(held.untilMs - clock.monotonic())))
    held.timer = setTimeout(() => {
      const { tenantId, integrationId: id } = held.unlock
      if (live({ tenantId, id }) === held) expireLater(held)
    }, leftMs)
    held.timer.unref()
  }

  return {
    [Symbol.iterator]: () => all().values(),

    reserve({ tenantId, id }) {
      const others = all().filter((one) => one.tenantId !== tenantId || one.integrationId !== id)
      const own = [...others, ...reserved].filter((one) => one.tenantId === tenantId)
      if (closed || others.length + reserved.size >= MAX_UNLOCKS || own.length >= TENANT_MAX) {
        const text = `At most ${TENANT_MAX} integrations of a tenant, and ${MAX_UNLOCKS} of all, are unlocked in one process: lock one first.`
        throw new AppError('quota.exceeded', text)
      }
      const place = { tenantId, id }
      reserved.add(place)
      return () => void reserved.delete(place)
    },

    accept(grant, share, ttlMs) {
      const key = `${grant.tenantId}/${grant.integrationId}`
      forget(key) // an earlier one; what runs on it goes on
      const unlock = { ...grant, unlockedUntil: new Date(clock.now() + ttlMs) }
      if (closed) {
        wipe(share.reveal())
        return unlock
      }
      const held: Held = { unlock, share, untilMs: clock.monotonic() + ttlMs, timer: undefined }
      unlocks.set(key, held)
      expireLater(held)
      return unlock
    },

    find: (integration) => live(integration)?.unlock,

    shareOf(integration, version) {
      const held = live(integration)
      const fits = held?.unlock.credentialId === integration.credentialId && held.unlock.version === version
      if (!held || !fits) throw lockedError(integration)
      return new Secret(copyBytes(held.share.reveal()))
    },

    end,

    close() {
      closed = true
      for (const { tenantId, integrationId: id } of all()) end({ tenantId, id }, 'stopped')
    },
  }
}
