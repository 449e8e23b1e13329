import { AppError } from '../core/errors.ts'
import { newDeploymentKey } from './first-keys.ts'
import { createKeyChange, type KeyChangeDeps, type KeyStep, keyById } from './key-change.ts'
import { activeFromMs, CLOCK_SKEW_MS, isPublished, mayMove } from './key-states.ts'
import { activeKey } from './key-view.ts'
import type { OfflineRoot } from './root-file.ts'
import { publishChange, rootIsOffline } from './sign-document.ts'
import { DEPLOYMENT, findKeys, type StoredKey } from './stored-key.ts'

export type PublishedPurpose = 'issuer-key' | 'audit-key'

/** How far a rotation is: `published` just now, `waiting` for cached documents to expire, or `activated`. */
export interface PublishedRotation {
  step: 'published' | 'waiting' | 'activated'
  keyId: string
  /** When the key may be activated, which a running server does by itself. */
  activeFrom: Date
  /** The key that it replaced, once it is active. */
  replacedId: string | null
  /** False: the root is offline, and the document does not say so yet. Readers accept the key all the same. */
  isInDocument: boolean
}

export interface Revocation {
  keyId: string
  /** The key that signs from now on, when the revoked one did. */
  successorId: string | null
  /** False: the root is offline, and readers go on believing the revoked key until a document is signed. */
  isInDocument: boolean
}

/** Activates a published key. Signatures that wait are still of the old one, so its window closes a little later. */
export async function activate(step: KeyStep, next: StoredKey): Promise<StoredKey> {
  const old = activeKey(step.rows, next.purpose)
  const closes = Math.max(step.nowMs + CLOCK_SKEW_MS, old.notBefore.getTime())
  await step.move(old, { state: 'retired', notAfter: new Date(closes) })
  await step.move(next, { state: 'active' }, { replaced_id: old.id })
  return old
}

/** Rotates and revokes the keys that readers know from the key document: issuer and audit key. */
export function createPublishedRotation(deps: KeyChangeDeps) {
  const { db, provider, clock } = deps
  const change = createKeyChange(deps)
  const nextOf = (rows: readonly StoredKey[], purpose: string) =>
    rows.find((row) => row.purpose === purpose && row.state === 'next')

  /**
   * Takes the next step of a rotation: publishes a key, or activates it once every cached document holds it.
   *
   * @throws {AppError} `precondition.failed` for a new key while the root is offline and not brought
   */
  async function rotate(purpose: PublishedPurpose, root?: OfflineRoot): Promise<PublishedRotation> {
    const isNew = !nextOf(await findKeys(db, DEPLOYMENT, { purpose }), purpose)
    const made = isNew ? await newDeploymentKey(deps, purpose, 'next') : undefined
    return change('operator', async (step) => {
      const next = nextOf(step.rows, purpose)
      if (next) {
        const activeFrom = new Date(activeFromMs(next))
        const waiting = { keyId: next.id, activeFrom, replacedId: null, isInDocument: true }
        if (step.nowMs < activeFrom.getTime()) return { step: 'waiting', ...waiting }
        const old = await activate(step, next)
        const isInDocument = await publishChange(provider, step, root)
        return { step: 'activated', ...waiting, replacedId: old.id, isInDocument }
      }
      if (!made) throw new AppError('precondition.failed', 'Another rotation ended just now. Run the command again.')
      await step.add(made)
      if (!(await publishChange(provider, step, root))) throw rootIsOffline()
      const activeFrom = new Date(activeFromMs(made))
      return { step: 'published', keyId: made.id, activeFrom, replacedId: null, isInDocument: true }
    })
  }

  /**
   * Revokes a key at once and for good, and destroys its private half. Where it was in use, its successor takes over
   * without the wait of a rotation: readers that do not know it fetch the document when they meet it.
   *
   * @throws {AppError} `object.not_found`; `precondition.failed` for a key that cannot be revoked, or when no successor
   * could be published because the root is offline
   */
  async function revoke(id: string, root?: OfflineRoot): Promise<Revocation> {
    const rows = await findKeys(db, DEPLOYMENT)
    const seen = keyById({ rows }, id)
    const isInUse = seen?.state === 'active' && isPublished(seen.purpose)
    const made =
      isInUse && !nextOf(rows, seen.purpose) ? await newSuccessor(seen.purpose as PublishedPurpose) : undefined
    return change('operator', async (step) => {
      const key = keyById(step, id)
      if (!key) throw new AppError('object.not_found', `There is no key ${id}. See: sealwire keys list`)
      if (!isPublished(key.purpose)) {
        const word = 'Only issuer and audit keys can be revoked: readers know them from the key document.'
        const instead = mayMove(key.purpose, 'active', 'retired')
          ? ' Rotate it instead: sealwire keys rotate --help'
          : ''
        throw new AppError('precondition.failed', `${id} is a ${key.purpose}. ${word}${instead}`)
      }
      if (key.state === 'revoked') throw new AppError('precondition.failed', `${id} is revoked already.`)
      const closes = new Date(Math.max(step.nowMs, key.notBefore.getTime()))
      const notAfter = key.notAfter && key.notAfter < closes ? key.notAfter : closes
      const next = key.state === 'active' ? nextOf(step.rows, key.purpose) : undefined
      await step.move(key, { state: 'revoked', notAfter, dropPrivateHalf: true })
      if (key.state !== 'active') {
        return { keyId: id, successorId: null, isInDocument: await publishChange(provider, step, root) }
      }
      if (next) await step.move(next, { state: 'active' }, { replaced_id: id })
      else if (made?.purpose === key.purpose) await step.add(made, { replaced_id: id })
      else throw new AppError('precondition.failed', 'Another change came between. Run the command again.')
      const isInDocument = await publishChange(provider, step, root)
      if (!isInDocument && !next) throw rootIsOffline()
      return { keyId: id, successorId: next?.id ?? made?.id ?? null, isInDocument }
    })
  }

  /** Valid from a minute ago, so that a replica whose clock is behind may use it at once. */
  async function newSuccessor(purpose: PublishedPurpose): Promise<StoredKey> {
    const key = await newDeploymentKey(deps, purpose)
    return { ...key, notBefore: new Date(clock.now() - CLOCK_SKEW_MS) }
  }

  return { rotate, revoke }
}
