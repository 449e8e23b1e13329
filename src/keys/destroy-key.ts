import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import { createKeyChange, type KeyChangeDeps, type KeyStep, keyById } from './key-change.ts'
import { activeFromMs, isPublished, mayMove } from './key-states.ts'
import { activate } from './rotate-published.ts'
import { DEPLOYMENT, findKeys, lockKey, type StoredKey } from './stored-key.ts'

/** API keys under a pepper, by its id: `live` ones can still be presented, `ended` ones are revoked or expired. */
export type CountApiKeys = (db: Queryable) => Promise<ReadonlyMap<string, { live: number; ended: number }>>

/** Reports whether this process holds the private half of a key. */
type IsOpen = (id: string) => boolean

export interface DestroyDeps extends KeyChangeDeps {
  countApiKeys: CountApiKeys
}

export interface Destruction {
  keyId: string
  /** API keys that stopped working with it. */
  apiKeys: number
}

/** Reports whether a retired signing key can no longer be needed: nothing sealed under it still waits for its signature. */
function isPastWindow({ notAfter }: StoredKey, nowMs: number): boolean {
  return notAfter !== null && notAfter.getTime() < nowMs
}

/** Why the private half of a key in that state is not destroyed by hand, and what to do instead. */
function whyNot({ id, purpose, state }: StoredKey): string | undefined {
  if (state === 'next') return `${id} is published and not used yet. To take it back: sealwire keys revoke ${id}`
  if (state === 'revoked') return `The private half of ${id} went when it was revoked; nothing is left.`
  if (state === 'destroyed') return `The private half of ${id} is destroyed already.`
  if (state !== 'active') return undefined
  if (!mayMove(purpose, 'active', 'retired')) return `${id} is the ${purpose}: it stays for the life of the database.`
  return `${id} is in use. Rotate it first: sealwire keys rotate --help`
}

/** Destroys private halves, by hand and as a server's upkeep. */
export function createDestroyKeys(deps: DestroyDeps) {
  const { db, clock, countApiKeys } = deps
  const change = createKeyChange(deps)

  /** Counts under the pepper's lock, so that no API key is made under it meanwhile. */
  async function liveUnder(step: KeyStep, { id }: StoredKey): Promise<number> {
    await lockKey(step.tx, DEPLOYMENT, id)
    return (await countApiKeys(step.tx)).get(id)?.live ?? 0
  }

  /**
   * Destroys the private half of a retired key, for good.
   *
   * @throws {AppError} `object.not_found`; `object.in_use` for a pepper that API keys are under, unless `force`;
   * `precondition.failed` for a key that is not retired, or whose signatures may still wait
   */
  async function destroy(id: string, { force = false } = {}): Promise<Destruction> {
    return change('operator', async (step) => {
      const key = keyById(step, id)
      if (!key) throw new AppError('object.not_found', `There is no key ${id}. See: sealwire keys list`)
      const reason = whyNot(key)
      if (reason !== undefined) throw new AppError('precondition.failed', reason)
      if (isPublished(key.purpose) && key.state === 'retired' && !isPastWindow(key, step.nowMs)) {
        const from = key.notAfter?.toISOString()
        throw new AppError('precondition.failed', `What ${id} sealed may still wait to be signed, until ${from}.`)
      }
      const apiKeys = key.purpose === 'api-key-pepper' ? await liveUnder(step, key) : 0
      if (apiKeys > 0 && !force) {
        throw new AppError(
          'object.in_use',
          `${apiKeys} API keys are still under pepper ${id}; each moves when it is next used. With --force they stop working.`,
          { details: { api_keys: apiKeys } },
        )
      }
      const detail = key.purpose === 'api-key-pepper' ? { api_keys: apiKeys, forced: apiKeys > 0 } : {}
      await step.move(key, { state: 'destroyed', dropPrivateHalf: true }, detail)
      return { keyId: id, apiKeys }
    })
  }

  async function isDue(tx: Queryable, key: StoredKey, nowMs: number, isOpen: IsOpen): Promise<boolean> {
    if (key.state === 'next') return isPublished(key.purpose) && activeFromMs(key) <= nowMs && isOpen(key.id)
    if (key.state !== 'retired') return false
    if (isPublished(key.purpose)) return isPastWindow(key, nowMs)
    if (key.purpose !== 'api-key-pepper') return false
    return ((await countApiKeys(tx)).get(key.id)?.live ?? 0) === 0
  }

  /**
   * Activates published keys that this process can use, and destroys private halves whose time has come; returns how many
   * keys moved.
   */
  async function upkeep(isOpen: IsOpen): Promise<number> {
    const due: string[] = []
    for (const key of await findKeys(db, DEPLOYMENT)) if (await isDue(db, key, clock.now(), isOpen)) due.push(key.id)
    if (due.length === 0) return 0
    return change('system', async (step) => {
      let moved = 0
      for (const id of due) {
        await lockKey(step.tx, DEPLOYMENT, id)
        const key = keyById(step, id)
        if (!key || !(await isDue(step.tx, key, step.nowMs, isOpen))) continue // another process was faster
        if (key.state === 'next') await activate(step, key)
        else await step.move(key, { state: 'destroyed', dropPrivateHalf: true })
        moved++
      }
      return moved
    })
  }

  return { destroy, upkeep }
}
