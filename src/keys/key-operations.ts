import type { Secret } from '../core/secret.ts'
import { createDestroyKeys, type DestroyDeps } from './destroy-key.ts'
import { newDeploymentKey } from './first-keys.ts'
import { createKeyChange, type KeyChangeDeps } from './key-change.ts'
import { type KeyCounter, type ListedKey, listKeys } from './list-keys.ts'
import { createReplaceKey } from './replace-key.ts'
import { createRootCustody } from './root-custody.ts'
import { parseRootFile } from './root-file.ts'
import { createPublishedRotation } from './rotate-published.ts'
import { DEPLOYMENT, findKeys } from './stored-key.ts'

export interface KeyOperationsDeps extends DestroyDeps {
  /** What else depends on keys, for the list. */
  counters: readonly KeyCounter[]
}

export type KeyOperations = ReturnType<typeof createKeyOperations>

/** What the operator of a host does with the keys of the deployment, and what a server does for them by itself. */
export function createKeyOperations(deps: KeyOperationsDeps) {
  const { db, provider, counters, countApiKeys } = deps
  const published = createPublishedRotation(deps)
  const countPeppers: KeyCounter = async (from, tenantId) => {
    if (tenantId !== DEPLOYMENT) return new Map()
    const counts = await countApiKeys(from)
    const peppers = await findKeys(from, DEPLOYMENT, { purpose: 'api-key-pepper' })
    return new Map(
      peppers.map(({ id }) => [
        id,
        { api_keys: counts.get(id)?.live ?? 0, ended_api_keys: counts.get(id)?.ended ?? 0 },
      ]),
    )
  }
  return {
    list: (tenantId?: string): Promise<ListedKey[]> => listKeys(db, [countPeppers, ...counters], tenantId),
    rotate: published.rotate,
    revoke: published.revoke,
    replace: createReplaceKey(deps),
    ...createDestroyKeys(deps),
    root: createRootCustody(deps),
    /** @throws {AppError} `request.invalid` */
    parseRootFile: (text: Secret<string>) => parseRootFile(provider, text),
  }
}

/**
 * Gives a database of before its audit key, once, whichever process comes first.
 *
 * @returns whether there was none
 */
export async function ensureAuditKey(deps: KeyChangeDeps): Promise<boolean> {
  const purpose = 'audit-key'
  if ((await findKeys(deps.db, DEPLOYMENT, { purpose })).length > 0) return false
  const made = await newDeploymentKey(deps, purpose)
  await createKeyChange(deps)('system', async (step) => {
    if (!step.rows.some((row) => row.purpose === purpose)) await step.add(made)
  })
  return true
}
