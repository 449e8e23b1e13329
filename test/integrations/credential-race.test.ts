import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { AuditEvent } from '#src/audit/audit.ts'
import { createIntegrationBody, patchIntegrationBody } from '#src/integrations/bodies.ts'
import { createIntegrations } from '#src/integrations/integrations.ts'
import { createVault } from '#src/vault/vault.ts'
import { eventually } from '#test/audit/parts.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

/** Both are changes that another request can come into the middle of, which is when their rows are recorded. */
describe('a credential that is deleted while an integration comes to use it', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  /** Vault and integrations as the server joins them; `meanwhile` begins while a row of `action` is recorded. */
  function parts(action: string, meanwhile: () => Promise<unknown>) {
    let begun: Promise<unknown> | undefined
    const audit = {
      async record(...events: readonly AuditEvent[]) {
        await deployment.audit.record(...events)
        if (begun || events[0]?.action !== action) return
        begun = meanwhile().then(
          () => 'done',
          (err: { code: string }) => err.code,
        )
        await eventually(async () => {
          const { rows } = await deployment.db.query('select 1 from pg_locks where not granted')
          return rows.length > 0 || undefined
        })
      },
    }
    const deps = { ...deployment, audit }
    const integrations = createIntegrations({
      ...deps,
      vault: { hold: (...at) => vault.hold(...at) },
      policies: { hold: async () => false },
    })
    const vault = createVault({ ...deps, usersOf: integrations.usersOf })
    return { integrations, vault, ended: () => begun }
  }
  const seal = () =>
    deployment.vault.seal(owner.caller, { credentialType: 'custom_kv', values: { hostname: 'broker.example' } })
  const bodyOf = (credentialId: string) =>
    createIntegrationBody.parse({ name: 'line 4', system_type: 'mqtt', credential_id: credentialId, config: {} })

  test('deleting waits for the creation, and is refused', async () => {
    const { id } = await seal()
    const { integrations, vault, ended } = parts('integrations.create', () => vault.remove(owner.caller, id))
    const created = await integrations.create(owner.caller, bodyOf(id))
    assert.equal(await ended(), 'object.in_use')
    assert.equal((await vault.get(owner.principal.tenantId, id)).id, id)
    await integrations.remove(owner.caller, created.id, '"1"')
    await vault.remove(owner.caller, id)
  })

  test('deleting waits for the change to another credential, and is refused', async () => {
    const [first, second] = [await seal(), await seal()]
    const { integrations, vault, ended } = parts('integrations.update', () => vault.remove(owner.caller, second.id))
    const created = await integrations.create(owner.caller, bodyOf(first.id))
    await integrations.update(owner.caller, created.id, '"1"', patchIntegrationBody.parse({ credential_id: second.id }))
    assert.equal(await ended(), 'object.in_use')
    await vault.remove(owner.caller, first.id)
  })

  test('creating waits for the deletion, and is refused', async () => {
    const { id } = await seal()
    const { integrations, vault, ended } = parts('vault.delete', () => integrations.create(owner.caller, bodyOf(id)))
    await vault.remove(owner.caller, id)
    assert.equal(await ended(), 'integration.invalid')
    assert.deepEqual((await integrations.list(owner.principal.tenantId)).items, [])
  })
})
