import type { Audit } from '#src/audit/audit.ts'
import type { Clock } from '#src/core/clock.ts'
import { Secret } from '#src/core/secret.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { type ConnectionOptions, createDb } from '#src/db/pool.ts'
import { openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import { openLocalKeyWrapper } from '#src/kms/local.ts'
import { createTenants } from '#src/tenants/tenants.ts'
import { createVault } from '#src/vault/vault.ts'
import { createVaultKeys } from '#src/vault/vault-keys.ts'
import { auditOn, headKey } from '#test/audit/parts.ts'
import { localFeed } from '#test/support/deployment.ts'

/** What a child process needs to open the same: JSON. */
export interface Place {
  connection: Omit<ConnectionOptions, 'connectionString'> & { url?: string | undefined }
  ringFile: string
  /** Milliseconds that the clock is ahead: a lease of a process before has run out. */
  aheadMs: number
}

export function placeOf(connection: ConnectionOptions, ringFile: string): Place {
  const { connectionString, ...members } = connection
  return { connection: { ...members, url: connectionString?.reveal() }, ringFile, aheadMs: 0 }
}

/** Vault, keys and a real audit log over a real ring file, as one process has them. */
export async function openParts(place: Place) {
  const { url, ...members } = place.connection
  const connection = { ...members, ...(url !== undefined && { connectionString: new Secret(url) }) }
  const db = createDb(connection)
  const auditDb = createDb({ ...connection, max: 2 })
  const log = auditOn(auditDb)
  const provider = opensslProvider
  const wrapper = await openLocalKeyWrapper({ file: place.ringFile, provider, createIfEmpty: true })
  const clock: Clock = { now: () => Date.now() + place.aheadMs, monotonic: () => performance.now() }
  const feed = localFeed()
  const keys = await openDeploymentKeys({ db, wrapper, provider, clock })
  const tenantKeys = createTenantKeys({ db, wrapper, provider, clock, feed })
  const audit: Audit = log
  const deps = { db, wrapper, provider, clock, feed, tenantKeys, audit, keys }
  return {
    ...deps,
    headKey,
    tenants: createTenants({ ...deps, peppers: keys.peppers }),
    vault: createVault({ ...deps, usersOf: async () => [] }),
    vaultKeys: createVaultKeys(deps),
    async close() {
      keys.close()
      await log.close()
      await auditDb.close()
      await db.close()
    },
  }
}

export type Parts = Awaited<ReturnType<typeof openParts>>
