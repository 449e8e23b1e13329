import { deleteDocument } from './document-store.ts'
import type { DeploymentPurpose } from './first-keys.ts'
import { newDeploymentKey } from './first-keys.ts'
import { createKeyChange, type KeyChangeDeps } from './key-change.ts'
import { activeKey } from './key-view.ts'

/** Keys that nobody outside knows by their document, and so need no wait. */
export type ReplacedPurpose = 'api-key-pepper' | 'cursor-key' | 'root-key'

export interface Replacement {
  keyId: string
  replacedId: string
}

/**
 * Puts a new key in the place of one at once. An old pepper stays, for the digests under it; an old cursor key and an old
 * root are destroyed. The key document is then one of the new root.
 */
export function createReplaceKey(deps: KeyChangeDeps) {
  const change = createKeyChange(deps)
  return async function replace(purpose: ReplacedPurpose & DeploymentPurpose): Promise<Replacement> {
    const made = await newDeploymentKey(deps, purpose)
    return change('operator', async (step) => {
      const old = activeKey(step.rows, purpose)
      const retired = await step.move(old, { state: 'retired' })
      await step.add(made, { replaced_id: old.id })
      if (purpose !== 'api-key-pepper') {
        await step.move(retired, { state: 'destroyed', dropPrivateHalf: true })
        await deleteDocument(step.tx, old.id)
      }
      return { keyId: made.id, replacedId: old.id }
    })
  }
}
