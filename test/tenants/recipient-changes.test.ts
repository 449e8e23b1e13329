import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { enrolmentProof } from '#src/envelope/enrolment.ts'
import { ML_KEM_SUITE } from '#src/envelope/suites.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import type { Principal } from '#src/tenants/principal.ts'
import { createRecipients } from '#src/tenants/recipients.ts'
import { localFeed, type TestDeployment, testDeployment } from '#test/support/deployment.ts'

describe('a recipient that changes while calls are under way', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  const callerOf = ({ tenantId, keyId }: Principal) => ({ tenantId, actor: { id: keyId }, requestId: 'req_test' })
  async function apiKey(role: string): Promise<Principal> {
    const { secret } = await deployment.apiKeys.create(owner.caller, owner.principal, { name: 'line 4', role })
    return deployment.authenticate(secret.reveal(), '192.0.2.1')
  }
  async function enrolled(principal: Principal = owner.principal): Promise<string> {
    const kemPublicKey = provider.kemPrivateKey(provider.randomBytes(64)).publicKey
    const input = { kemPublicKey, suite: ML_KEM_SUITE, name: 'controller' }
    const { recipient, macKey } = await deployment.recipients.enroll(callerOf(principal), principal, input)
    const proof = enrolmentProof(provider.macKey(macKey), recipient.recipientId, kemPublicKey)
    await deployment.recipients.confirm(callerOf(principal), principal, recipient.recipientId, proof)
    return recipient.recipientId
  }

  test('unchanged, it costs no SQL to know that at the end', async () => {
    await enrolled()
    await nextTurn() // the announcement of it has arrived
    const began = await deployment.recipients.sealingFor(owner.principal)
    const { statements } = deployment.db
    const end = await deployment.recipients.sealingAtEnd(owner.principal, began)
    assert.deepEqual([end.recipientId, deployment.db.statements - statements], [began.recipientId, 0])
  })

  test('replaced by its client, it still gets the answer of a call that began with it', async () => {
    await enrolled()
    const began = await deployment.recipients.sealingFor(owner.principal)
    const next = await enrolled()
    assert.equal((await deployment.recipients.sealingAtEnd(owner.principal, began)).recipientId, began.recipientId)
    assert.equal((await deployment.recipients.sealingFor(owner.principal)).recipientId, next)
  })

  test('held by the server and replaced by a client, it gets nothing more: nobody could open it', async () => {
    const began = await deployment.recipients.sealingFor(owner.principal)
    assert.equal(began.custody, 'server')
    const next = await enrolled()
    assert.equal((await deployment.recipients.sealingAtEnd(owner.principal, began)).recipientId, next)
  })

  test('revoked, it gets no answer, in any process that heard of it', async () => {
    await enrolled()
    const replica = deployment.replica()
    const [here, there] = [deployment.recipients, replica.recipients]
    const began = await here.sealingFor(owner.principal)
    await there.sealingFor(owner.principal)
    await here.revoke(owner.caller, owner.principal, began.recipientId)
    replica.feed.send('recipient', `${owner.principal.tenantId}/${owner.principal.keyId}`)
    for (const one of [here, there])
      await assert.rejects(one.sealingAtEnd(owner.principal, began), { code: 'recipient.required' })
    const next = await enrolled()
    replica.feed.send('recipient', `${owner.principal.tenantId}/${owner.principal.keyId}`)
    for (const one of [here, there]) assert.equal((await one.sealingAtEnd(owner.principal, began)).recipientId, next)
  })

  test('replaced and then revoked, the old one gets nothing more', async () => {
    const old = await enrolled()
    const began = await deployment.recipients.sealingFor(owner.principal)
    const next = await enrolled()
    await deployment.recipients.revoke(owner.caller, owner.principal, old)
    assert.equal((await deployment.recipients.sealingAtEnd(owner.principal, began)).recipientId, next)
  })

  test('replaced between the reading of its row and of its key, the next one serves', async () => {
    await enrolled()
    let between: (() => Promise<unknown>) | undefined
    const feed = localFeed()
    const own = createTenantKeys({ ...deployment, feed })
    const tenantKeys = {
      ...own,
      async macKey(tenantId: string, keyId: string) {
        const change = between
        between = undefined
        await change?.()
        return own.macKey(tenantId, keyId)
      },
    }
    const slow = createRecipients({ ...deployment, feed, tenantKeys })
    let next = ''
    between = async () => {
      next = await enrolled()
    }
    assert.equal((await slow.sealingFor(owner.principal)).recipientId, next)
    assert.match(next, /^rcp_/)
  })

  test('get shows one’s own, with keys:manage everybody’s of the tenant, and no dead or foreign one', async () => {
    const editor = await apiKey('editor')
    const [mine, theirs] = [await enrolled(), await enrolled(editor)]
    const { recipients } = deployment
    const refusal = { code: 'object.not_found', message: 'No such object.' }
    assert.equal((await recipients.get(owner.principal, theirs)).apiKeyId, editor.keyId)
    assert.equal((await recipients.get(editor, theirs)).id, theirs)
    await assert.rejects(recipients.get(editor, mine), refusal)
    const stranger = await deployment.tenant('stranger')
    await assert.rejects(recipients.get(stranger.principal, mine), refusal)

    const kemPublicKey = provider.kemPrivateKey(provider.randomBytes(64)).publicKey
    const input = { kemPublicKey, suite: ML_KEM_SUITE, name: 'controller' }
    const pending = await recipients.enroll(owner.caller, owner.principal, input)
    const id = pending.recipient.recipientId
    assert.equal((await recipients.get(owner.principal, id)).state, 'pending')
    deployment.clock.advance(600_000)
    await assert.rejects(recipients.get(owner.principal, id), refusal)
  })
})
