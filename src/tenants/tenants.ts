import type { Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { Secret } from '../core/secret.ts'
import type { Queryable } from '../db/db.ts'
import { insertApiKey } from './api-key-store.ts'
import { type ApiKeysDeps, apiKeyEvent, makeApiKey } from './api-keys.ts'
import { assertDisplayName } from './display-name.ts'
import { scopesOf } from './principal.ts'

export interface NewTenant {
  tenantId: string
  /** The tenant's first API key, with the role `owner`; shown once. */
  ownerKey: Secret<string>
  keyId: string
}

export interface Tenants {
  create(input: { name: string; sandbox?: boolean }): Promise<NewTenant>
  /**
   * Creates the first tenant of a database, and returns `undefined` when there is one already; one of two racing processes
   * wins. `deliver` brings the owner's key to where its user finds it before the tenant is committed, so that no crash
   * leaves a tenant that nobody can enter; what it delivered for one that was not committed opens nothing.
   */
  createFirst(
    input: { name: string },
    deliver: (ownerKey: Secret<string>) => Promise<void>,
  ): Promise<NewTenant | undefined>
}

/** Reports whether any tenant is there. */
export async function hasTenants(db: Queryable): Promise<boolean> {
  const { rows } = await db.query(`select 1 from tenants limit 1`)
  return rows.length > 0
}

/** Those of these ids that are no tenant. */
export async function withoutTenant(db: Queryable, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ id: string }>('select id from tenants where id = any($1)', [ids])
  const known = new Set(rows.map(({ id }) => id))
  return new Set(ids.filter((id) => !known.has(id)))
}

/** The KMS key that the operator set for a tenant; `null`: the deployment's. */
export async function tenantKmsKey(db: Queryable, tenantId: string): Promise<string | null> {
  const { rows } = await db.query<{ kms_key_id: string | null }>(`select kms_key_id from tenants where id = $1`, [
    tenantId,
  ])
  if (!rows[0]) throw new AppError('object.not_found', 'No such object.')
  return rows[0].kms_key_id
}

/** Keeps the tenants. Creating one is for the operator of the host, who appears as `operator` on the audit log. */
export function createTenants(deps: ApiKeysDeps): Tenants {
  const { clock } = deps
  const change = createAuditedChange(deps)

  async function insert(tx: Queryable, name: string, sandbox: boolean) {
    assertDisplayName(name)
    const tenantId = newId('ten', clock.now())
    const grant = {
      name: 'owner',
      role: 'owner',
      scopes: [...scopesOf('owner')],
      expiresAt: null,
      allowedAddresses: [],
    } as const
    const { stored, secret } = makeApiKey(deps, { id: tenantId, sandbox }, grant)
    await tx.query(`insert into tenants (id, name, sandbox, created_at) values ($1, $2, $3, $4)`, [
      tenantId,
      name,
      sandbox,
      stored.createdAt,
    ])
    await insertApiKey(tx, stored)
    const caller: Caller = { tenantId, actor: { id: 'operator' }, requestId: newId('req', clock.now()) }
    const created = { ...caller, action: 'tenants.create', outcome: 'success', detail: { name, sandbox } } as const
    const result: NewTenant = { tenantId, ownerKey: secret, keyId: stored.id }
    return { result, events: [created, apiKeyEvent('api_keys.create', caller, stored)] }
  }

  return {
    create: ({ name, sandbox = false }) => change((tx) => insert(tx, name, sandbox)),
    createFirst: ({ name }, deliver) =>
      change<NewTenant | undefined>(async (tx) => {
        await tx.query(`select pg_advisory_xact_lock(hashtext('sealwire/first-tenant'))`)
        if (await hasTenants(tx)) return { result: undefined, events: [] }
        const made = await insert(tx, name, false)
        await deliver(made.result.ownerKey)
        return made
      }),
  }
}
