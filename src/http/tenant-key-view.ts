import { z } from 'zod'
import type { KeyJob } from '../keys/key-job.ts'
import type { PublicKeySet } from '../keys/tenant-key-sets.ts'
import type { VaultKey } from '../vault/vault-keys.ts'
import { exampleId, timestamp } from './schemas.ts'

/** What a tenant's keys are for, as the API names it. */
export const tenantKeyPurpose = z.enum(['vault', 'sign', 'object', 'version-1']).meta({ id: 'TenantKeyPurpose' })

const move = z
  .strictObject({
    state: z.enum(['running', 'waiting', 'done']),
    left: z.int().min(0).meta({ description: 'Records under old keys, those in split custody included' }),
    in_custody: z.int().min(0).meta({ description: 'Of these: they move when their holder opens them' }),
    unusable: z.int().min(0).meta({ description: 'Records of the last pass that did not open' }),
    unusable_records: z
      .array(z.string())
      .max(20)
      .meta({ description: 'The first 20 of them: tenant, entry and version' }),
    problem: z.string().nullable().meta({ description: 'Error code of what stopped it last; it goes on by itself' }),
    next_run_at: timestamp.nullable(),
    finished_at: timestamp.nullable(),
  })
  .meta({ id: 'VaultMove', description: 'The job that moves what old vault keys guard to the active one' })

/** A key of a tenant without any secret; of a set, the one that names it. */
export const tenantKey = z
  .strictObject({
    id: z.string(),
    purpose: tenantKeyPurpose,
    state: z.enum(['next', 'active', 'retired', 'revoked', 'destroyed']),
    created_at: timestamp,
    retired_at: timestamp.nullable(),
    records: z.int().min(0).nullable().meta({ description: 'Vault records under it; null for other purposes' }),
    records_in_custody: z.int().min(0).nullable(),
    move: move.nullable().meta({ description: 'On the active vault key, once there was a rotation' }),
  })
  .meta({ id: 'TenantKey' })

export const tenantKeyExample: z.input<typeof tenantKey> = {
  id: exampleId('kem'),
  purpose: 'vault',
  state: 'active',
  created_at: '2026-11-21T09:00:00.000Z',
  retired_at: null,
  records: 41,
  records_in_custody: 0,
  move: {
    state: 'running',
    left: 12,
    in_custody: 1,
    unusable: 0,
    unusable_records: [],
    problem: null,
    next_run_at: '2026-11-21T09:00:00.000Z',
    finished_at: null,
  },
}

/** Renders vault keys, with the job on the active one. */
export function vaultKeysToWire(keys: readonly VaultKey[], job: KeyJob | undefined): z.input<typeof tenantKey>[] {
  const old = keys.filter(({ state }) => state !== 'active')
  const sum = (of: (key: VaultKey) => number) => old.reduce((total, key) => total + of(key), 0)
  const moved = job && {
    state: job.state,
    left: sum(({ records }) => records),
    in_custody: sum(({ inCustody }) => inCustody),
    unusable: job.unusableCount,
    unusable_records: [...job.unusable],
    problem: job.problem,
    next_run_at: job.state === 'done' ? null : job.runAt.toISOString(),
    finished_at: job.finishedAt?.toISOString() ?? null,
  }
  return keys.map((key) => ({
    id: key.id,
    purpose: 'vault' as const,
    state: key.state,
    created_at: key.createdAt.toISOString(),
    retired_at: key.retiredAt?.toISOString() ?? null,
    records: key.records,
    records_in_custody: key.inCustody,
    move: (key.state === 'active' ? moved : undefined) ?? null,
  }))
}

/** Renders a set of keys by the one that names it. */
export function keySetToWire(
  purpose: Exclude<z.infer<typeof tenantKeyPurpose>, 'vault'>,
  { kem, signing, state, createdAt, retiredAt }: PublicKeySet,
): z.input<typeof tenantKey> {
  return {
    id: (kem ?? signing)?.keyId ?? '',
    purpose,
    state,
    created_at: createdAt.toISOString(),
    retired_at: retiredAt?.toISOString() ?? null,
    records: null,
    records_in_custody: null,
    move: null,
  }
}
