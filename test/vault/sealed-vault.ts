import assert from 'node:assert/strict'
import { after, before, beforeEach } from 'node:test'
import type { NewEntry } from '#src/vault/vault.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

export const values = { hostname: 'broker.example', port: 8883, username: 'sealwire', password: 'correct horse' }
export const unknownId = '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10'
export const notFound = { code: 'object.not_found', message: 'No such object.', details: undefined }
export const unopened = { code: 'vault.unavailable', message: 'The vault entry could not be opened.' }

/** Gives the surrounding suite a deployment, and each of its tests a tenant of its own. */
export function sealedVault() {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  return {
    get deployment() {
      return deployment
    },
    get owner() {
      return owner
    },
    seal: (input: Partial<NewEntry> = {}) =>
      deployment.vault.seal(owner.caller, { credentialType: 'custom_kv', values, ...input }),
    tenantId: () => owner.principal.tenantId,
    eventsOf: (id: string) => deployment.audit.events.filter((event) => event.object?.id === id),
    /** The newest version as it lies in the database. */
    async rowOf(id: string) {
      const { rows } = await deployment.db.query<Record<string, Buffer>>(
        'select * from vault_versions where entry_id = $1 order by version desc',
        [id],
      )
      assert.ok(rows[0])
      return rows[0]
    },
  }
}
