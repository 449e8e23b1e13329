import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { PublishedKey } from '../envelope/key-document.ts'
import type { IssuerKey } from '../envelope/open.ts'
import { isPublished } from './key-states.ts'
import type { StoredKey } from './stored-key.ts'

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000)

/** A destroyed private half leaves a public one that verifies what it signed; only a revoked key verifies nothing. */
function publish({ id, purpose, state, publicKey, notBefore, notAfter }: StoredKey): PublishedKey {
  if (!publicKey) throw new AppError('vault.unavailable', `Key ${id} has no public half.`)
  return {
    kid: id,
    use: purpose === 'audit-key' ? 'audit' : 'envelope-v2',
    pub: publicKey,
    nbf: seconds(notBefore),
    naf: notAfter && seconds(notAfter),
    state: state === 'destroyed' ? 'retired' : state,
  }
}

/** The keys that stand in the key document: issuer and audit keys of every state, oldest first. */
export function publishedKeys(rows: readonly StoredKey[]): PublishedKey[] {
  return rows.filter(({ purpose }) => isPublished(purpose)).map(publish)
}

/** The keys of envelopes by their id, as a reader of the key document sees them. */
export function issuersOf(
  provider: CryptoProvider,
  published: readonly PublishedKey[],
): ReadonlyMap<string, IssuerKey> {
  const issuers = published.filter(({ use }) => use === 'envelope-v2')
  return new Map(
    issuers.map(({ kid, use, pub, nbf, naf, state }) => {
      const key = provider.verifyKey(pub)
      if (!key) throw new AppError('vault.unavailable', `The public half of key ${kid} is not a key.`)
      return [kid, { keyId: kid, use, state, notBefore: nbf, notAfter: naf, key }]
    }),
  )
}
