import type { Caller } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import { type Bytes, equalBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { assertAcceptableKemKey, enrolmentProof } from '../envelope/enrolment.ts'
import { findSuite, SUITE_NAMES, type Suite } from '../envelope/suites.ts'
import { holdActingKey } from './acting-key.ts'
import { assertDisplayName } from './display-name.ts'
import { halfHashes } from './key-halves.ts'
import type { Principal } from './principal.ts'
import {
  type KnownRecipient,
  type Recipient,
  type RecipientsDeps,
  recipientEvent,
  recipientTopicKey,
} from './recipient.ts'
import {
  activate,
  dropPending,
  endRecipient,
  findActive,
  findRecipient,
  insertRecipient,
  isHalfEnrolled,
  wasEverClientHeld,
} from './recipient-store.ts'

export interface Enrolment {
  kemPublicKey: Bytes
  suite: string
  name: string
}

export interface EnrolmentSteps {
  /**
   * Makes a pending recipient of the client's key and the MAC key (64 bytes) that it will share; replaces a pending one.
   * The first of an API key needs `recipients:enroll`, every later one `keys:manage`.
   *
   * @throws {AppError} `request.invalid` for an unacceptable key and for one of which any half is enrolled or ours,
   * `auth.forbidden`, `auth.unauthenticated` when the API key was revoked meanwhile
   */
  enroll(caller: Caller, principal: Principal, input: Enrolment): Promise<{ recipient: KnownRecipient; macKey: Bytes }>
  /**
   * Makes a pending recipient active and retires the one before it, whose keys are destroyed. The same proof again is
   * answered alike.
   *
   * @throws {AppError} `object.not_found`, also for another API key's and after ten minutes; `request.invalid` for a wrong
   * proof; `auth.unauthenticated` when the API key was revoked meanwhile
   */
  confirm(caller: Caller, principal: Principal, id: string, proof: Uint8Array): Promise<Recipient>
}

/** Milliseconds that a pending recipient lives. */
const PENDING_MS = 600_000

const alreadyEnrolled = () =>
  new AppError('request.invalid', 'kem_public_key: this key is enrolled already; make a new one.')

function assertEnrolment({ suite, name }: Enrolment): Suite {
  const known = findSuite(suite)
  if (!known) throw new AppError('request.invalid', `suite: must be one of ${SUITE_NAMES.join(', ')}.`)
  assertDisplayName(name)
  return known
}

/** The two steps by which a client's own key becomes the recipient of its API key. */
export function createEnrolment(
  deps: RecipientsDeps & { change: AuditedChange; forget: (topicKey: string) => void },
): EnrolmentSteps {
  const { db, feed, tenantKeys, provider, clock, change, forget } = deps

  /** A stolen API key must not replace the recipient that its owner holds. */
  async function requireRight({ tenantId, keyId, scopes }: Principal): Promise<void> {
    if (scopes.has('keys:manage')) return
    const isFirst = !(await wasEverClientHeld(db, tenantId, keyId))
    if (isFirst && scopes.has('recipients:enroll')) return
    const scope = isFirst ? 'recipients:enroll' : 'keys:manage'
    throw new AppError('auth.forbidden', `This API key lacks the scope ${scope}.`, { details: { scope } })
  }

  return {
    async enroll(caller, principal, input) {
      const suiteOfKey = assertEnrolment(input)
      const kem = assertAcceptableKemKey(provider, suiteOfKey, input.kemPublicKey)
      await requireRight(principal)
      for (const half of suiteOfKey.halves(kem.bytes)) if (await tenantKeys.isOurs(half)) throw alreadyEnrolled()
      const { tenantId, keyId: apiKeyId } = principal
      const now = new Date(clock.now())
      const { stored: macKey, secret } = await tenantKeys.newMacKey(tenantId)
      const pending: Recipient = {
        id: newId('rcp', now.getTime()),
        tenantId,
        apiKeyId,
        name: input.name,
        custody: 'client',
        suite: input.suite,
        state: 'pending',
        kemKeyId: newId('kem', now.getTime()),
        kemPublicKey: kem.bytes,
        macKeyId: macKey.id,
        createdAt: now,
        confirmedAt: null,
        expiresAt: new Date(now.getTime() + PENDING_MS),
      }
      const hashes = halfHashes(provider, pending)
      try {
        await change(async (tx) => {
          await holdActingKey(tx, principal, now.getTime(), 'update')
          for (const dropped of await dropPending(tx, { tenantId, apiKeyId, halfHashes: hashes, now })) {
            await tenantKeys.destroy(tx, dropped.tenantId, [dropped.macKeyId])
          }
          await tenantKeys.insert(tx, macKey)
          await insertRecipient(tx, pending, hashes)
          return { result: undefined, events: [recipientEvent('recipients.enroll', caller, pending)] }
        })
      } catch (err) {
        throw isHalfEnrolled(err) ? alreadyEnrolled() : err
      }
      const { id: recipientId, custody, suite, kemKeyId, macKeyId } = pending
      const mac = provider.macKey(secret)
      return { recipient: { tenantId, recipientId, custody, suite, kemKeyId, kem, macKeyId, mac }, macKey: secret }
    },

    async confirm(caller, principal, id, proof) {
      const { tenantId, keyId } = principal
      const notFound = new AppError('object.not_found', 'No such object.')
      const recipient = await findRecipient(db, tenantId, id)
      const now = new Date(clock.now())
      const isAlive =
        recipient?.state === 'active' || (recipient?.state === 'pending' && (recipient.expiresAt ?? now) > now)
      if (!isAlive || recipient.apiKeyId !== keyId || recipient.custody !== 'client') throw notFound
      const mac = await tenantKeys.macKey(tenantId, recipient.macKeyId)
      if (!equalBytes(proof, enrolmentProof(mac, id, recipient.kemPublicKey))) {
        throw new AppError('request.invalid', 'proof: does not verify.')
      }
      if (recipient.state === 'active') return recipient
      await requireRight(principal)
      const topicKey = recipientTopicKey(tenantId, keyId)
      const confirmed = await change<Recipient>(async (tx) => {
        await holdActingKey(tx, principal, now.getTime(), 'update')
        const replaced = await findActive(tx, tenantId, keyId)
        if (replaced) {
          await endRecipient(tx, replaced, 'retired')
          await tenantKeys.destroy(tx, tenantId, [replaced.kemKeyId, replaced.macKeyId])
        }
        if (!(await activate(tx, tenantId, id, now))) throw notFound
        await feed.announce(tx, 'recipient', topicKey)
        const events = [recipientEvent('recipients.confirm', caller, recipient, replaced)]
        return { result: { ...recipient, state: 'active', confirmedAt: now, expiresAt: null }, events }
      })
      forget(topicKey)
      return confirmed
    },
  }
}
