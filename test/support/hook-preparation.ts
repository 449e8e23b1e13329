import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { PolicyDocument } from '#src/policy/document.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { startServerProcess } from './server-process.ts'

/** What a configuration of hooks has to name, and the key to change it. */
export interface HookPreparation {
  readonly tenantId: string
  readonly policyId: string
  readonly ownerKey: string
}

/**
 * Starts a server without hooks on an empty database, stores a policy and stops it again: a configuration of hooks names a
 * tenant and a policy that are there before.
 *
 * @param env `DATABASE_URL` and `DATA_DIR` of the server that is meant
 */
export async function prepareHooks(
  env: Readonly<Record<string, string>>,
  document: PolicyDocument,
): Promise<HookPreparation> {
  let said = ''
  const { url, child } = await startServerProcess({ STOP_NOTICE_MS: '0', ...env, LOG_LEVEL: 'info' }, (text) => {
    said += text
  }).catch((err: Error) => {
    throw new Error(`${err.message}:\n${said}`)
  })
  try {
    const tenantId = /"tenantId":"(ten_\w+)"/.exec(said)?.[1]
    if (tenantId === undefined) throw new Error(`the first start names no tenant:\n${said}`)
    const ownerKey = (await readFile(path.join(env['DATA_DIR'] ?? '', 'owner-api-key'), 'utf8')).trim()
    const { id: policyId } = await new Sealwire({ baseUrl: url, apiKey: ownerKey }).policies.create({
      document: { ...document },
    })
    return { tenantId, policyId, ownerKey }
  } finally {
    child.ref()
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
}
