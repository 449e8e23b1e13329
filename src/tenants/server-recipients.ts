import type { AuditedChange } from '../audit/audited-change.ts'
import { wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { ML_KEM_SUITE } from '../envelope/suites.ts'
import { lockApiKey } from './api-key-store.ts'
import { halfHashes } from './key-halves.ts'
import { type Recipient, type RecipientsDeps, recipientEvent } from './recipient.ts'
import { findActive, insertRecipient, wasEverClientHeld } from './recipient-store.ts'

/** Makes the recipients of API keys that never enrolled: the server holds their private halves, wrapped. */
export function createServerRecipients(deps: RecipientsDeps & { change: AuditedChange }): {
  make(tenantId: string, apiKeyId: string): Promise<Recipient>
} {
  const { db, tenantKeys, provider, clock, change } = deps

  async function refuseAfterClient(tx: Pick<typeof db, 'query'>, tenantId: string, apiKeyId: string): Promise<void> {
    if (!(await wasEverClientHeld(tx, tenantId, apiKeyId))) return
    throw new AppError('recipient.required', 'This API key had a recipient of its own and has none now: enrol again.')
  }

  return {
    /** Makes one, or returns the one that another request made meanwhile. */
    async make(tenantId, apiKeyId) {
      await refuseAfterClient(db, tenantId, apiKeyId)
      const seed = await tenantKeys.newRecipientSeed(tenantId)
      const { stored: mac, secret } = await tenantKeys.newMacKey(tenantId)
      wipe(secret)
      const now = new Date(clock.now())
      const made: Recipient = {
        id: newId('rcp', now.getTime()),
        tenantId,
        apiKeyId,
        name: 'held by the server',
        custody: 'server',
        suite: ML_KEM_SUITE,
        state: 'active',
        kemKeyId: seed.id,
        kemPublicKey: seed.publicKey,
        macKeyId: mac.id,
        createdAt: now,
        confirmedAt: now,
        expiresAt: null,
      }
      return change<Recipient>(async (tx) => {
        await lockApiKey(tx, tenantId, apiKeyId, 'update')
        const winner = await findActive(tx, tenantId, apiKeyId)
        if (winner) return { result: winner, events: [] }
        await refuseAfterClient(tx, tenantId, apiKeyId)
        await tenantKeys.insert(tx, seed, mac)
        await insertRecipient(tx, made, halfHashes(provider, made))
        const caller = { tenantId, actor: { id: apiKeyId } }
        return { result: made, events: [recipientEvent('recipients.enroll', caller, made)] }
      })
    },
  }
}
