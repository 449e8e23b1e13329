import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { equalBytes, utf8 } from '#src/core/bytes.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { findKeys } from '#src/keys/stored-key.ts'
import { findSets, type KeySetName } from '#src/keys/tenant-key-sets.ts'
import { createTenantSigningKeys, type TenantSigningKeys } from '#src/keys/tenant-signing-keys.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { forge } from '#test/envelope/forge.ts'
import { makeIssuer, makeRecipient } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'
import { localFeed, type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const message = utf8('message')
const context = utf8('test')
const byText = (a: unknown, b: unknown) => (String(a) < String(b) ? -1 : 1)

describe('keys that tenants sign with and are sealed to', () => {
  let deployment: TestDeployment
  let keys: TenantSigningKeys
  before(async () => {
    deployment = await testDeployment()
    keys = createTenantSigningKeys(deployment)
  })
  after(() => deployment.drop())

  const rowsOf = async (tenantId: string) => (await findKeys(deployment.db, tenantId)).map((row) => row)

  const sets = {
    sign: ['sign-key', 'sign-mac-key'],
    object: ['object-key', 'object-mac-key'],
    'version-1': ['v1-key', 'v1-mac-key', 'v1-sign-key'],
  }
  const firstUse: Readonly<Record<string, (of: TenantSigningKeys, tenantId: string) => Promise<unknown>>> = {
    sign: (of, tenantId) => of.signingKeys(tenantId),
    object: (of, tenantId) => of.objectRecipient(tenantId),
    'version-1': (of, tenantId) => of.version1Keys(tenantId),
  }
  for (const [set, purposes] of Object.entries(sets)) {
    test(`the keys of ${set} are made once and are on record, also when requests and processes race`, async () => {
      const { principal } = await deployment.tenant()
      const other = createTenantSigningKeys({ ...deployment, feed: localFeed() })
      deployment.audit.events.length = 0
      const use = firstUse[set]
      assert.ok(use)
      await Promise.all([1, 2, 3].flatMap(() => [keys, other].map((one) => use(one, principal.tenantId))))
      const rows = await rowsOf(principal.tenantId)
      assert.deepEqual(rows.map(({ purpose }) => purpose).sort(), purposes)
      assert.equal(new Set(rows.map(({ id }) => id.split('_')[1])).size, 1, 'ids of one set end alike')
      const made = deployment.audit.events.filter(
        ({ action, outcome }) => action === 'tenant_keys.create' && outcome === 'success',
      )
      assert.deepEqual(
        made.map(({ detail }) => detail),
        [{ purpose: set }],
      )
    })

    test(`two tenants have different keys of ${set}`, async () => {
      const [one, two] = [(await deployment.tenant()).principal, (await deployment.tenant()).principal]
      for (const { tenantId } of [one, two]) await firstUse[set]?.(keys, tenantId)
      const [mine, theirs] = [
        await keys.list(one.tenantId, set as KeySetName),
        await keys.list(two.tenantId, set as KeySetName),
      ]
      assert.equal(mine.length, 1)
      assert.equal(theirs.length, 1)
      assert.notEqual(mine[0]?.id, theirs[0]?.id)
    })
  }

  test('a key of another set, purpose or tenant is as good as none', async () => {
    const { principal } = await deployment.tenant()
    const stranger = (await deployment.tenant()).principal
    const { tenantId } = principal
    const sign = await keys.signingKeys(tenantId)
    const version1 = await keys.version1Keys(tenantId)
    const object = await keys.objectRecipient(tenantId)
    const { keyId, macKeyId } = sign
    assert.ok(await keys.verifyingKeys(tenantId, { keyId, macKeyId }))
    assert.equal(await keys.verifyingKeys(stranger.tenantId, { keyId, macKeyId }), undefined)
    assert.equal(await keys.verifyingKeys(tenantId, { keyId, macKeyId: version1.macKeyId }), undefined)
    assert.equal(await keys.verifyingKeys(tenantId, { keyId: version1.keyId, macKeyId: version1.macKeyId }), undefined)
    assert.ok(await keys.objectReader(tenantId, object.kemKeyId))
    assert.equal(await keys.objectReader(stranger.tenantId, object.kemKeyId), undefined)
    assert.equal(await keys.objectReader(tenantId, version1.kemKeyId), undefined)
    assert.equal(await keys.objectReader(tenantId, newId('kem')), undefined)
  })

  test('after a rotation the old keys still verify and open, and no longer sign: their private signing key is gone', async () => {
    const { principal, caller } = await deployment.tenant()
    const { tenantId } = principal
    const [oldSign, oldObject] = [await keys.signingKeys(tenantId), await keys.objectRecipient(tenantId)]
    const signature = await oldSign.signing.sign(message, context)
    const { ciphertext, sharedSecret } = oldObject.kem.encapsulate()
    deployment.audit.events.length = 0
    const { keyId, retiredKeyId } = await keys.rotate(caller, tenantId, 'sign')
    assert.equal(retiredKeyId, oldSign.keyId)
    await keys.rotate(caller, tenantId, 'object')
    assert.deepEqual(
      deployment.audit.events.map(({ action, actor, detail }) => [action, actor.id, detail]),
      [
        ['tenant_keys.rotate', principal.keyId, { purpose: 'sign', retired_key_id: oldSign.keyId }],
        ['tenant_keys.rotate', principal.keyId, { purpose: 'object', retired_key_id: oldObject.kemKeyId }],
      ],
    )

    assert.equal((await keys.signingKeys(tenantId)).keyId, keyId)
    assert.notEqual((await keys.objectRecipient(tenantId)).kemKeyId, oldObject.kemKeyId)
    const verifying = await keys.verifyingKeys(tenantId, oldSign)
    assert.equal(verifying?.state, 'retired')
    assert.ok(verifying?.verify.verify(message, context, signature))
    assert.ok(equalBytes(verifying?.mac.mac(message) ?? new Uint8Array(), oldSign.mac.mac(message)))
    const reader = await keys.objectReader(tenantId, oldObject.kemKeyId)
    assert.ok(equalBytes(reader?.kem.decapsulate(ciphertext) ?? new Uint8Array(), sharedSecret))

    const retired = (await rowsOf(tenantId)).filter(({ state }) => state === 'retired')
    assert.deepEqual(retired.map(({ purpose, wrapped }) => [purpose, wrapped === null]).sort(byText), [
      ['object-key', false],
      ['object-mac-key', false],
      ['sign-key', true],
      ['sign-mac-key', false],
    ])
  })

  test('a rotation reaches the other processes', async () => {
    const { principal, caller } = await deployment.tenant()
    const feed = localFeed()
    const other = createTenantSigningKeys({ ...deployment, feed })
    const before = await other.signingKeys(principal.tenantId)
    const { keyId } = await keys.rotate(caller, principal.tenantId, 'sign')
    assert.equal((await other.signingKeys(principal.tenantId)).keyId, before.keyId, 'not heard yet')
    feed.send('tenant_key', `${principal.tenantId}/sign`)
    assert.equal((await other.signingKeys(principal.tenantId)).keyId, keyId)
  })

  test('two rotations at once leave one active set, and nothing is lost', async () => {
    const { principal, caller } = await deployment.tenant()
    await keys.signingKeys(principal.tenantId)
    await Promise.all([1, 2, 3].map(() => keys.rotate(caller, principal.tenantId, 'sign')))
    const sets = await keys.list(principal.tenantId, 'sign')
    assert.deepEqual(sets.map(({ state }) => state).sort(), ['active', 'retired', 'retired', 'retired'])
  })

  test('a rotation and the first use at once, in two processes, leave one active set and fail for nobody', async () => {
    const other = createTenantSigningKeys({ ...deployment, feed: localFeed() })
    for (let round = 0; round < 8; round++) {
      const { principal, caller } = await deployment.tenant()
      const { tenantId } = principal
      await Promise.all([
        keys.rotate(caller, tenantId, 'sign'),
        other.signingKeys(tenantId),
        keys.signingKeys(tenantId),
        other.rotate(caller, tenantId, 'sign'),
      ])
      const states = (await keys.list(tenantId, 'sign')).map(({ state }) => state)
      assert.equal(states.filter((state) => state === 'active').length, 1)
      assert.ok(states.length === 2 || states.length === 3, 'the first use may have found what a rotation made')
    }
  })

  test('a set is read whole: it never has parts of another, and an id that does not lead it names nothing', async () => {
    const { principal, caller } = await deployment.tenant()
    const { tenantId } = principal
    const first = await keys.version1Keys(tenantId)
    await keys.rotate(caller, tenantId, 'version-1')
    const second = await keys.version1Keys(tenantId)
    const sets = await findSets(deployment.db, tenantId, 'version-1')
    assert.equal(sets.length, 2)
    for (const rows of sets) {
      assert.deepEqual(rows.map(({ purpose }) => purpose).sort(), ['v1-key', 'v1-mac-key', 'v1-sign-key'])
      assert.equal(new Set(rows.map(({ id }) => id.split('_')[1])).size, 1)
      assert.equal(new Set(rows.map(({ state }) => state)).size, 1)
    }
    const found = async (id: string) => (await findSets(deployment.db, tenantId, 'version-1', { id })).length
    for (const { kemKeyId } of [first, second]) assert.equal(await found(kemKeyId), 1)
    for (const id of [first.keyId, first.macKeyId, first.recipientId, newId('kem')]) assert.equal(await found(id), 0)
  })

  test('a retired set says since when, and a page holds what is older than the one before', async () => {
    const { principal, caller } = await deployment.tenant()
    const { tenantId } = principal
    for (let made = 0; made < 3; made++) {
      deployment.clock.advance(1000)
      await keys.rotate(caller, tenantId, 'sign')
    }
    const rotatedAt = new Date(deployment.clock.now())
    const [newest, retired, oldest] = await keys.list(tenantId, 'sign')
    assert.deepEqual([newest?.state, newest?.retiredAt], ['active', null])
    assert.deepEqual([retired?.state, retired?.retiredAt], ['retired', rotatedAt])
    const row = (await findKeys(deployment.db, tenantId, { state: 'retired', purpose: 'sign-mac-key' })).at(-1)
    assert.deepEqual(row?.stateSince, rotatedAt)
    const ids = async (after: string | undefined, limit: number) =>
      (await keys.list(tenantId, 'sign', { after, limit })).map(({ id }) => id)
    assert.deepEqual(await ids(undefined, 2), [newest?.id, retired?.id])
    assert.deepEqual(await ids(retired?.id, 2), [oldest?.id])
  })

  test('every request signs and verifies with the same imported key, so that threads are sent it once', async () => {
    const { principal } = await deployment.tenant()
    const [one, two] = [await keys.signingKeys(principal.tenantId), await keys.signingKeys(principal.tenantId)]
    assert.equal(one.signing, two.signing)
    assert.equal(one.verify, two.verify)
    const version1 = [await keys.version1Keys(principal.tenantId), await keys.version1Keys(principal.tenantId)]
    assert.equal(version1[0]?.verify, version1[1]?.verify)
  })

  test('a rotation that cannot be put on record changes nothing', async () => {
    const { principal, caller } = await deployment.tenant()
    const { keyId } = await keys.signingKeys(principal.tenantId)
    deployment.audit.failing = true
    await assert.rejects(keys.rotate(caller, principal.tenantId, 'sign'), { code: 'audit.unavailable' })
    deployment.audit.failing = false
    assert.equal((await keys.signingKeys(principal.tenantId)).keyId, keyId)
    assert.equal((await keys.list(principal.tenantId, 'sign')).length, 1)
  })

  test('what no tenant has cannot be rotated', async () => {
    const { principal, caller } = await deployment.tenant()
    for (const set of ['vault', 'issuer', '__proto__', 'toString'])
      await assert.rejects(keys.rotate(caller, principal.tenantId, set), { code: 'object.not_found' })
  })

  test('signing outlives a KMS outage; what opens objects is kept for five minutes', async () => {
    const { principal } = await deployment.tenant()
    const { tenantId } = principal
    const { kemKeyId } = await keys.objectRecipient(tenantId)
    await keys.signingKeys(tenantId)
    await keys.objectReader(tenantId, kemKeyId)
    deployment.wrapper.down = true
    deployment.clock.advance(299_000)
    assert.ok(await keys.objectReader(tenantId, kemKeyId))
    deployment.clock.advance(2_000)
    await assert.rejects(keys.objectReader(tenantId, kemKeyId), { code: 'kms.unavailable' })
    assert.equal((await (await keys.signingKeys(tenantId)).signing.sign(message, context)).length, 3309)
    deployment.wrapper.down = false
    assert.ok(await keys.objectReader(tenantId, kemKeyId), 'a failure is not kept')
  })

  test('a key that was wrapped under another KMS key since it was read opens all the same', async () => {
    const { principal } = await deployment.tenant()
    const { tenantId } = principal
    const { wrapper, feed, db } = deployment
    let isMoved = false
    const moving: KeyWrapper = {
      provider: wrapper.provider,
      defaultKeyId: wrapper.defaultKeyId,
      wrap: (...given) => wrapper.wrap(...given),
      async unwrap(keyId, wrapped, context) {
        if (isMoved !== (keyId === 'moved')) throw new AppError('kms.unavailable', 'No such key.')
        return wrapper.unwrap(wrapper.defaultKeyId, wrapped, context)
      },
    }
    const own = createTenantSigningKeys({ ...deployment, wrapper: moving })
    const { keyId, macKeyId } = await own.signingKeys(tenantId)
    await nextTurn() // its announcement has arrived
    /** Forgets what is open, and not which keys are active. */
    const forgetOpened = () => feed.send('tenant_key', `${tenantId}/none`)
    isMoved = true
    forgetOpened()
    await assert.rejects(own.signingKeys(tenantId), { code: 'kms.unavailable' })
    await assert.rejects(own.verifyingKeys(tenantId, { keyId, macKeyId }), { code: 'kms.unavailable' }) // the other half, too
    await db.query(`update keys set kms_key_id = 'moved' where tenant_id = $1`, [tenantId])
    assert.equal((await own.signingKeys(tenantId)).keyId, keyId)
  })

  test('none of them makes an envelope of version 2: neither under its own id nor under the issuer’s', async () => {
    const { principal } = await deployment.tenant()
    const { provider, keys: deploymentKeys } = deployment
    const sets = [await keys.signingKeys(principal.tenantId), await keys.version1Keys(principal.tenantId)]
    const issuers = deploymentKeys.issuers()
    const recipient = makeRecipient(provider, 'victim')
    const genuine = { provider, recipient, issuer: { ...makeIssuer(provider, 'x'), ...deploymentKeys.issuer } }
    const iat = Math.floor(deployment.clock.now() / 1000)
    const claims = { iat, exp: iat + 300 }
    const origin = (envelope: unknown) => verifyOrigin(provider, envelope, issuers)
    assert.equal(origin(await forge(genuine, { claims })).sig, deploymentKeys.issuer.keyId)
    for (const { keyId, signing } of sets) {
      for (const context of ['sealwire/envelope/v2', '', 'sealwire/sign/v1']) {
        const asIssuer = await forge(genuine, { claims, signing, context })
        assert.throws(() => origin(asIssuer), refusal())
        const asItself = await forge(genuine, { claims: { ...claims, sig: keyId }, signing, context })
        assert.throws(() => origin(asItself), refusal('envelope.issuer_unknown'))
      }
    }
  })

  test('keys of version 1 are handed out after the row that says so, and to their tenant only', async () => {
    const { principal, caller } = await deployment.tenant()
    const stranger = await deployment.tenant()
    const { tenantId } = principal
    const made = await keys.version1Keys(tenantId)
    const { keys: publicHalves, kemSeed, hmacSecret } = await keys.exportVersion1(caller, tenantId, made.recipientId)
    const { provider, audit } = deployment
    assert.ok(equalBytes(provider.kemPrivateKey(kemSeed).publicKey, made.kem.bytes))
    assert.ok(equalBytes(provider.macKey(provider.sha512(hmacSecret)).mac(message), made.mac.mac(message)))
    assert.deepEqual(publicHalves.signing?.publicKey, made.verify.bytes)
    assert.equal(audit.events.at(-1)?.action, 'tenant_keys.export')
    const object = await keys.objectRecipient(tenantId)
    for (const id of [object.recipientId, newId('rcp')])
      await assert.rejects(keys.exportVersion1(caller, tenantId, id), { code: 'object.not_found' })
    await assert.rejects(keys.exportVersion1(stranger.caller, stranger.principal.tenantId, made.recipientId), {
      code: 'object.not_found',
    })
    audit.failing = true
    await assert.rejects(keys.exportVersion1(caller, tenantId, made.recipientId), { code: 'audit.unavailable' })
    audit.failing = false
  })
})
