import { randomBytes } from 'node:crypto'
import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { copyBytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { CustodyShare, Vault } from '../vault/vault.ts'
import type { ShareSource } from './credential-gate.ts'
import { countLocks, insertLock } from './lock-store.ts'
import { watchUnlocks } from './unlock-watch.ts'
import { createUnlocks, type Unlock, type UnlockEnd } from './unlocks.ts'

type Ref = Pick<Integration, 'tenantId' | 'id' | 'credentialId'>

/** Whether the credential of an integration is in split custody, and until when this process holds its share. */
export interface LockState {
  readonly splitCustody: boolean
  /** `null` while it is locked here, and for a credential that needs no share. */
  readonly unlockedUntil: Date | null
}

export interface UnlockCommand {
  readonly caller: Caller
  readonly integrationId: string
  /** 32 bytes; the caller's to wipe. */
  readonly share: CustodyShare
  /** Seconds, 60 to 86,400. */
  readonly ttlS: number
}

export interface Custody extends ShareSource {
  /** Names this process from its start to its end: 16 hexadecimal digits. */
  readonly processId: string
  /**
   * Takes the share of an integration's credential into the memory of this process, after it has opened the credential with
   * it. A second unlock replaces the first.
   *
   * @throws {AppError} `object.not_found`; `integration.invalid` when the credential needs no share; `quota.exceeded`;
   * `precondition.failed` when credential or integration changed meanwhile; what `Vault.verifyShare` throws
   */
  unlock(command: UnlockCommand): Promise<Unlock>
  /**
   * Ends it in every process: here at once, elsewhere within a second of the commit.
   *
   * @throws {AppError} `object.not_found`; `integration.invalid` when the credential needs no share
   */
  lock(caller: Caller, integrationId: string): Promise<void>
  stateOf(integration: Ref): Promise<LockState>
  /** Wipes every share; resolves when that is on record. */
  close(): Promise<void>
}

export interface CustodyDeps {
  db: Db
  feed: Pick<ChangeFeed, 'announce' | 'on' | 'live'>
  vault: Pick<Vault, 'current' | 'verifyShare'>
  integrations: Pick<Integrations, 'find'>
  audit: Audit
  clock: Clock
  log: Log
  /** Lets the connections of an integration finish and end: its unlock is over. */
  retire: (tenantId: string, integrationId: string) => void
}

const SYSTEM = { id: 'system' }

function eventOf({ tenantId, id }: Pick<Ref, 'tenantId' | 'id'>, action: 'integrations.unlock' | 'integrations.lock') {
  return { tenantId, action, object: { kind: 'integration', id } }
}

/** Unlocks integrations whose credentials are in split custody, and ends that when its time, or its ground, is gone. */
export function createCustody(deps: CustodyDeps): Custody {
  const { db, feed, vault, integrations, audit, clock, log, retire } = deps
  const change = createAuditedChange({ db, audit })
  const unlocks = createUnlocks({ clock, ended })
  const watch = watchUnlocks({ ...deps, unlocks })
  const recording = new Set<Promise<void>>()

  function ended(unlock: Unlock, reason: UnlockEnd): void {
    const { tenantId, integrationId: id, credentialId, version } = unlock
    watch.forget(unlock)
    retire(tenantId, id)
    if (reason === 'locked') return // on record by whoever locked it
    const detail = { credential_id: credentialId, credential_version: version, reason }
    const event: AuditEvent = {
      ...eventOf({ tenantId, id }, 'integrations.lock'),
      outcome: 'success',
      actor: SYSTEM,
      detail,
    }
    const row = audit.record(event).catch((err: { code?: unknown }) => {
      log.warn({ integration: id, reason, code: err.code }, 'the end of an unlock is not on record')
    })
    recording.add(row)
    void row.then(() => recording.delete(row))
  }

  async function assertSplit({ tenantId, credentialId }: Ref): Promise<void> {
    if ((await vault.current(tenantId, credentialId))?.custody === 1) return
    const text = 'The credential of this integration is not in split custody: there is nothing to unlock or to lock.'
    throw new AppError('integration.invalid', text)
  }

  /** The share opens the credential, and whether it does is on record. */
  async function proved({ caller, share, ttlS }: UnlockCommand, integration: Ref): Promise<number> {
    const { credentialId } = integration
    const event = { ...caller, ...eventOf(integration, 'integrations.unlock') }
    const detail = { credential_id: credentialId, ttl_s: ttlS }
    let version: number
    try {
      version = await vault.verifyShare(caller, credentialId, share)
    } catch (err) {
      const code = err instanceof AppError ? err.code : 'internal'
      await audit.record({ ...event, outcome: 'failure', detail: { ...detail, code } })
      throw err
    }
    await audit.record({ ...event, outcome: 'success', detail: { ...detail, credential_version: version } })
    return version
  }

  return {
    processId: randomBytes(8).toString('hex'),

    async unlock(command) {
      const { tenantId } = command.caller
      const integration = await integrations.find(tenantId, command.integrationId)
      const { id, credentialId } = integration
      await assertSplit(integration)
      const leave = unlocks.reserve(integration)
      try {
        const locks = await countLocks(db, tenantId, id) // before the share is judged: a lock meanwhile counts
        const version = await proved(command, integration)
        const grant = { tenantId, integrationId: id, credentialId, version, locks }
        const held = new Secret(copyBytes(command.share.reveal()))
        const before = unlocks.find(integration)
        if (before) watch.forget(before) // it is replaced
        const unlock = unlocks.accept(grant, held, command.ttlS * 1000)
        await watch.look(unlock).catch((err: unknown) => {
          if (unlocks.find(integration) === unlock) unlocks.end(integration, 'integration_changed')
          throw err
        })
        if (unlocks.find(integration) === unlock) return unlock
      } finally {
        leave()
      }
      const text =
        'The integration or its credential changed, or was locked, at the same time; look at it and try again.'
      throw new AppError('precondition.failed', text)
    },

    async lock(caller, integrationId) {
      const integration = await integrations.find(caller.tenantId, integrationId)
      const { tenantId, id, credentialId } = integration
      await assertSplit(integration)
      unlocks.end(integration, 'locked') // whatever becomes of the rest
      await change(async (tx) => {
        await insertLock(tx, tenantId, id)
        await feed.announce(tx, 'integration_lock', `${tenantId}/${id}`)
        const detail = { credential_id: credentialId, reason: 'locked' }
        const event = { ...caller, ...eventOf(integration, 'integrations.lock'), outcome: 'success' as const, detail }
        return { result: undefined, events: [event] }
      })
    },

    async stateOf(integration) {
      const current = await vault.current(integration.tenantId, integration.credentialId)
      const unlock = unlocks.find(integration)
      const fits = unlock?.credentialId === integration.credentialId && unlock.version === current?.version
      const splitCustody = current?.custody === 1
      return { splitCustody, unlockedUntil: splitCustody && fits ? unlock.unlockedUntil : null }
    },

    settled: watch.settled,
    shareOf: unlocks.shareOf,

    async close() {
      unlocks.close()
      await Promise.all(recording)
    },
  }
}
