import { wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import { deleteDocument } from './document-store.ts'
import { createKeyChange, type KeyChangeDeps } from './key-change.ts'
import { activeKey } from './key-view.ts'
import { assertSameRoot, type OfflineRoot, writeRootFile } from './root-file.ts'
import { signStoredDocument } from './sign-document.ts'
import { DEPLOYMENT, findKeys, setPrivateHalf, unwrapKey, wrapSecret } from './stored-key.ts'

const isHere = (root: { wrapped: unknown }): boolean => root.wrapped !== null
const alreadyHere = (id: string) =>
  new AppError('precondition.failed', `Root ${id} is not offline: every process signs the key document by itself.`)

/** Takes the root key out of the database, has it sign a document there, and puts it back. */
export function createRootCustody(deps: KeyChangeDeps) {
  const { db, wrapper, provider } = deps
  const change = createKeyChange(deps)

  return {
    /**
     * Exports the private half, signs the last document for 90 days, and removes the private half from the database.
     * `deliver` makes the file durable before anything is removed.
     *
     * @throws {AppError} `precondition.failed` when it is offline already
     */
    async takeOffline(deliver: (file: Secret<string>) => Promise<void>): Promise<{ keyId: string; expiresAt: Date }> {
      const root = activeKey(await findKeys(db, DEPLOYMENT, { purpose: 'root-key' }), 'root-key')
      if (!isHere(root)) {
        const next = 'To write its file anew, bring it back first: sealwire keys root online --root-file FILE'
        throw new AppError('precondition.failed', `Root ${root.id} is offline already. ${next}`)
      }
      const seed = await unwrapKey(wrapper, root)
      try {
        return await change('operator', async (step) => {
          const row = activeKey(step.rows, 'root-key')
          if (row.id !== root.id || !isHere(row)) {
            throw new AppError('precondition.failed', 'The root key changed meanwhile. Run the command again.')
          }
          const expiresAt = await signStoredDocument(provider, step, provider.signingKey(seed))
          await setPrivateHalf(step.tx, row, null)
          step.note('keys.root_offline', row, {})
          await deliver(writeRootFile(provider, row.id, seed))
          return { keyId: row.id, expiresAt }
        })
      } finally {
        wipe(seed)
      }
    },

    /**
     * Signs the keys as they are now with the root that the operator brought; it stays offline.
     *
     * @throws {AppError} `precondition.failed` for another root, or one that is not offline
     */
    sign: (root: OfflineRoot, days?: number): Promise<{ keyId: string; expiresAt: Date }> =>
      change('operator', async (step) => {
        const row = activeKey(step.rows, 'root-key')
        if (isHere(row)) throw alreadyHere(row.id)
        assertSameRoot(root, row)
        return { keyId: row.id, expiresAt: await signStoredDocument(provider, step, root.signing, days) }
      }),

    /** Puts the private half back into the database, wrapped; every process signs documents again. */
    async putBack(root: OfflineRoot): Promise<{ keyId: string }> {
      const row = activeKey(await findKeys(db, DEPLOYMENT, { purpose: 'root-key' }), 'root-key')
      assertSameRoot(root, row)
      const half = await wrapSecret(wrapper, row, root.seed.reveal())
      return change('operator', async (step) => {
        const now = activeKey(step.rows, 'root-key')
        if (isHere(now)) throw alreadyHere(now.id)
        assertSameRoot(root, now)
        await setPrivateHalf(step.tx, now, half)
        await deleteDocument(step.tx, now.id)
        step.note('keys.root_online', now, { kms_key_id: half.kmsKeyId })
        return { keyId: now.id }
      })
    },
  }
}
