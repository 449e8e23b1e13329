import type { Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { AppError } from '../core/errors.ts'
import { createCache } from '../db/cache.ts'
import { firstPage, type Page } from '../db/db.ts'
import type { ReaderRecipient } from '../envelope/open.ts'
import { rejected } from '../envelope/rejected.ts'
import { createEnrolment, type EnrolmentSteps } from './enrolment.ts'
import type { Principal } from './principal.ts'
import {
  type KnownRecipient,
  type Recipient,
  type RecipientsDeps,
  recipientEvent,
  recipientTopicKey,
  suiteOf,
} from './recipient.ts'
import { endRecipient, findActive, findRecipient, listRecipients } from './recipient-store.ts'
import { createServerRecipients } from './server-recipients.ts'

export type { KnownRecipient, Recipient } from './recipient.ts'

export interface Recipients extends EnrolmentSteps {
  /**
   * Returns the active recipient of the calling API key; makes a server-held one for a key that never enrolled. Without SQL
   * once known.
   *
   * @throws {AppError} `recipient.required` for an API key whose client-held recipient has ended
   */
  sealingFor(principal: Principal): Promise<KnownRecipient>
  /**
   * Returns whom the answer to a call is sealed to when it is done: the recipient that it began with, also if another one
   * took its place meanwhile, since its client still holds it; but never one that was revoked. Without SQL unless it changed.
   *
   * @throws {AppError} `recipient.required` when it was revoked, and there is no other
   */
  sealingAtEnd(principal: Principal, began: KnownRecipient): Promise<KnownRecipient>
  /** Returns the active recipient of the calling API key if a client holds it; makes none. */
  clientHeldFor(principal: Principal): Promise<KnownRecipient | undefined>
  /**
   * Returns the recipient `audience` with its private halves: the calling key's own, held by the server.
   *
   * @throws {AppError} `envelope.not_ours` for one of the tenant that a client holds, `envelope.rejected` for every other
   */
  readerFor(principal: Principal, audience: string): Promise<ReaderRecipient>
  /**
   * Returns one of the calling API key, or, with `keys:manage`, any of the tenant.
   *
   * @throws {AppError} `object.not_found`, also for a pending one that has died
   */
  get(principal: Principal, id: string): Promise<Recipient>
  /** Newest first; those of one API key, or of the whole tenant. */
  list(tenantId: string, page?: Page & { apiKeyId?: string | undefined }): Promise<Recipient[]>
  /**
   * Ends a recipient and destroys its keys: one's own, or, with `keys:manage`, any of the tenant.
   *
   * @throws {AppError} `object.not_found`
   */
  revoke(caller: Caller, principal: Principal, id: string): Promise<Recipient>
}

const RECIPIENTS_MAX = 10_000
const RECIPIENT_TTL_MS = 300_000

export function createRecipients(deps: RecipientsDeps): Recipients {
  const { db, feed, tenantKeys, provider, clock } = deps
  const change = createAuditedChange(deps)
  const servers = createServerRecipients({ ...deps, change })
  const known = createCache<KnownRecipient>({
    feed,
    topic: 'recipient',
    max: RECIPIENTS_MAX,
    ttlMs: RECIPIENT_TTL_MS,
    load,
  })
  const enrolment = createEnrolment({ ...deps, change, forget: known.forget })

  async function open(active: Recipient): Promise<KnownRecipient> {
    const { tenantId, id: recipientId, custody, suite, kemKeyId, macKeyId } = active
    const kem = suiteOf(suite).publicKey(provider, active.kemPublicKey)
    if (!kem) throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${kemKeyId}: not a key` })
    const mac = await tenantKeys.macKey(tenantId, macKeyId)
    return { tenantId, recipientId, custody, suite, kemKeyId, kem, macKeyId, mac }
  }

  async function load(topicKey: string): Promise<KnownRecipient> {
    const [tenantId = '', apiKeyId = ''] = topicKey.split('/')
    const active = (await findActive(db, tenantId, apiKeyId)) ?? (await servers.make(tenantId, apiKeyId))
    try {
      return await open(active)
    } catch (err) {
      // Replaced between the two reads, its keys are destroyed, and the next one's are there.
      const next = await findActive(db, tenantId, apiKeyId)
      if (!next || next.id === active.id) throw err
      return open(next)
    }
  }

  async function sealingFor({ tenantId, keyId }: Principal): Promise<KnownRecipient> {
    const recipient = await known.get(recipientTopicKey(tenantId, keyId))
    if (!recipient) throw new AppError('internal', 'A recipient was neither found nor made.')
    return recipient
  }

  /** Another API key's and another tenant's are not there, exactly as one that does not exist. */
  async function findVisible({ tenantId, keyId, scopes }: Principal, id: string): Promise<Recipient> {
    const recipient = await findRecipient(db, tenantId, id)
    if (recipient && (recipient.apiKeyId === keyId || scopes.has('keys:manage'))) return recipient
    throw new AppError('object.not_found', 'No such object.')
  }

  return {
    sealingFor,
    async sealingAtEnd(principal, began) {
      const now = await known.get(recipientTopicKey(principal.tenantId, principal.keyId)).catch(() => undefined)
      if (now?.recipientId === began.recipientId) return now
      if (began.custody === 'server') return sealingFor(principal) // with its end, nobody can open what is sealed to it
      const row = await findRecipient(db, began.tenantId, began.recipientId)
      return row && row.state !== 'revoked' ? began : sealingFor(principal)
    },
    async clientHeldFor(principal) {
      const active = await findActive(db, principal.tenantId, principal.keyId)
      return active?.custody === 'client' ? sealingFor(principal) : undefined
    },
    async readerFor(principal, audience) {
      const addressed = await findRecipient(db, principal.tenantId, audience)
      if (addressed?.custody === 'client') {
        throw new AppError('envelope.not_ours', 'The client holds the key of this recipient: open the envelope there.')
      }
      if (addressed?.apiKeyId !== principal.keyId || addressed.state !== 'active') throw rejected()
      const { kem: _public, custody: _server, ...recipient } = await sealingFor(principal)
      return { ...recipient, kem: await tenantKeys.kemPrivateKey(recipient.tenantId, recipient.kemKeyId) }
    },
    ...enrolment,
    list: (tenantId, page = firstPage) => listRecipients(db, tenantId, new Date(clock.now()), page),
    async get(principal, id) {
      const recipient = await findVisible(principal, id)
      const isDead = recipient.state === 'pending' && (recipient.expiresAt?.getTime() ?? 0) <= clock.now()
      if (isDead) throw new AppError('object.not_found', 'No such object.')
      return recipient
    },
    async revoke(caller, principal, id) {
      const { tenantId } = principal
      const recipient = await findVisible(principal, id)
      const topicKey = recipientTopicKey(tenantId, recipient.apiKeyId)
      const revoked = await change<Recipient>(async (tx) => {
        if (!(await endRecipient(tx, recipient, 'revoked'))) throw new AppError('object.not_found', 'No such object.')
        await tenantKeys.destroy(tx, tenantId, [recipient.kemKeyId, recipient.macKeyId])
        await feed.announce(tx, 'recipient', topicKey)
        const events = [recipientEvent('recipients.revoke', caller, recipient)]
        return { result: { ...recipient, state: 'revoked' }, events }
      })
      known.forget(topicKey)
      return revoked
    },
  }
}
