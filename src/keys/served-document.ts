import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Queryable } from '../db/db.ts'
import { type KeyDocument, type PublishedKey, signKeyDocument } from '../envelope/key-document.ts'
import { findDocument } from './document-store.ts'
import type { KeyView } from './key-view.ts'

/** Seconds that a key document is believed, and after which this process signs a new one. */
const DOCUMENT_LIFE_S = 7 * 86_400
const DOCUMENT_RENEWAL_S = 86_400

interface Served {
  iat: number
  isOffline: boolean
  document: Promise<{ document: KeyDocument; expiresAtS: number }>
}

export interface ServedDocument {
  get(view: KeyView): Promise<{ document: KeyDocument; expiresAtS: number }>
  /** To be told of every change: a document that says something else is signed, or read, anew. */
  changed(before: KeyView, after: KeyView): void
}

const spell = (keys: readonly PublishedKey[]): string =>
  JSON.stringify(keys.map(({ kid, use, nbf, naf, state }) => [kid, use, nbf, naf, state]))

/** Signs the key document while the root is here, once a day and at every change; while it is offline, reads the last one. */
export function createServedDocument({
  db,
  provider,
  clock,
}: {
  db: Queryable
  provider: CryptoProvider
  clock: Pick<Clock, 'now'>
}): ServedDocument {
  let current: Served | undefined

  async function sign({ root, published }: KeyView, iat: number) {
    if (!root.pair) throw new AppError('kms.unavailable', 'The root key did not open.', { cause: root.id })
    const expiresAtS = iat + DOCUMENT_LIFE_S
    return { document: await signKeyDocument(provider, root.pair, published, iat, expiresAtS), expiresAtS }
  }

  async function read({ root }: KeyView) {
    const stored = await findDocument(db, root.id)
    if (!stored)
      throw new AppError('vault.unavailable', 'There is no key document.', { cause: `root ${root.id} is offline` })
    return { document: stored.document, expiresAtS: Math.floor(stored.expiresAt.getTime() / 1000) }
  }

  return {
    get(view) {
      const iat = Math.floor(clock.now() / 1000)
      const isFresh = current && (current.isOffline || (iat >= current.iat && iat - current.iat < DOCUMENT_RENEWAL_S))
      if (current && isFresh) return current.document
      const { isOffline } = view.root
      const served: Served = { iat, isOffline, document: isOffline ? read(view) : sign(view, iat) }
      current = served
      served.document.catch(() => {
        if (current === served) current = undefined // the caller sees the failure; the next one tries again
      })
      return served.document
    },
    changed(before, after) {
      const isSame =
        !after.root.isOffline &&
        !before.root.isOffline &&
        before.root.id === after.root.id &&
        spell(before.published) === spell(after.published)
      if (!isSame) current = undefined
    },
  }
}
