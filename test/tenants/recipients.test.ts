import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type Bytes, copyBytes, decodeUtf8, equalBytes, utf8 } from '#src/core/bytes.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { enrolmentProof } from '#src/envelope/enrolment.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { ML_KEM_SUITE } from '#src/envelope/suites.ts'
import type { Principal } from '#src/tenants/principal.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const minute = 60_000

describe('recipients', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  const newKey = () => provider.kemPrivateKey(provider.randomBytes(64)).publicKey
  const enroll = (kemPublicKey: Bytes, principal: Principal = owner.principal) =>
    deployment.recipients.enroll(callerOf(principal), principal, {
      kemPublicKey,
      suite: ML_KEM_SUITE,
      name: 'controller',
    })
  const callerOf = ({ tenantId, keyId }: Principal) => ({ tenantId, actor: { id: keyId }, requestId: 'req_test' })
  async function apiKey(role: string): Promise<Principal> {
    const { secret } = await deployment.apiKeys.create(owner.caller, owner.principal, { name: 'line 4', role })
    return deployment.authenticate(secret.reveal(), '192.0.2.1')
  }
  const proofOf = ({ recipient, macKey }: Awaited<ReturnType<typeof enroll>>) =>
    enrolmentProof(provider.macKey(macKey), recipient.recipientId, recipient.kem.bytes)
  async function enrolled(principal: Principal = owner.principal) {
    const pending = await enroll(newKey(), principal)
    await deployment.recipients.confirm(callerOf(principal), principal, pending.recipient.recipientId, proofOf(pending))
    return pending
  }
  const rowsOf = async (tenantId: string) =>
    (await deployment.recipients.list(tenantId)).map((one) => `${one.custody} ${one.state}`)

  describe('held by the server', () => {
    test('an API key that never enrolled gets one, and what is sealed to it opens with readerFor', async () => {
      const { keys, recipients, clock } = deployment
      const recipient = await recipients.sealingFor(owner.principal)
      assert.equal(recipient.custody, 'server')
      const iat = Math.floor(clock.now() / 1000)
      const claims = {
        op: 'proxy.outbound',
        sub: null,
        rid: 'req_1',
        rqh: null,
        st: 200,
        seq: null,
        iat,
        exp: iat + 300,
      }
      const sealed = sealEnvelope(provider, recipient, keys.issuer.keyId, claims, utf8('answer'))
      const [signature] = await signLeaves(provider, keys.issuer, [sealed])
      assert.ok(signature)
      const reader = await recipients.readerFor(owner.principal, recipient.recipientId)
      const expected = { op: 'answer', rqh: null, nowS: iat }
      const { plaintext } = openEnvelope(provider, sealed.complete(signature), reader, keys.issuers(), expected)
      assert.equal(decodeUtf8(plaintext), 'answer')
    })

    test('two requests at once, on two replicas, make one; a later process finds it', async () => {
      const replica = deployment.replica()
      const made = await Promise.all(
        [1, 2, 3].flatMap(() => [deployment, replica].map((one) => one.recipients.sealingFor(owner.principal))),
      )
      assert.equal(made.length, 6)
      assert.equal(new Set(made.map(({ recipientId }) => recipientId)).size, 1)
      assert.deepEqual(await rowsOf(owner.principal.tenantId), ['server active'])
      const later = await deployment.replica().recipients.sealingFor(owner.principal)
      assert.equal(later.recipientId, made[0]?.recipientId)
      assert.ok(equalBytes(later.mac.mac(utf8('m')), made[0]?.mac.mac(utf8('m')) ?? utf8('')))
    })

    test('a known recipient costs no SQL and no KMS', async () => {
      await deployment.recipients.sealingFor(owner.principal)
      const [statements, calls] = [deployment.db.statements, deployment.wrapper.calls.length]
      for (let i = 0; i < 20; i++) await deployment.recipients.sealingFor(owner.principal)
      assert.deepEqual([deployment.db.statements, deployment.wrapper.calls.length], [statements, calls])
      assert.ok(statements > 0)
    })

    test('it belongs to one API key, never to the tenant', async () => {
      const other = await apiKey('editor')
      const [mine, theirs] = [
        await deployment.recipients.sealingFor(owner.principal),
        await deployment.recipients.sealingFor(other),
      ]
      assert.notEqual(mine.recipientId, theirs.recipientId)
      assert.notEqual(mine.kemKeyId, theirs.kemKeyId)
    })

    test('its making is on record, and without the record it is not made', async () => {
      deployment.audit.failing = true
      await assert.rejects(deployment.recipients.sealingFor(owner.principal), { code: 'audit.unavailable' })
      deployment.audit.failing = false
      assert.deepEqual(await rowsOf(owner.principal.tenantId), [])
      const { recipientId } = await deployment.recipients.sealingFor(owner.principal)
      const event = deployment.audit.events.at(-1)
      assert.deepEqual(
        [event?.action, event?.object?.id, event?.detail?.['custody']],
        ['recipients.enroll', recipientId, 'server'],
      )
    })

    test('revoked, its keys are destroyed, and the next answer goes to a new one', async () => {
      const old = await deployment.recipients.sealingFor(owner.principal)
      await deployment.recipients.revoke(owner.caller, owner.principal, old.recipientId)
      const { rows } = await deployment.db.query<{ state: string; wrapped: unknown }>(
        `select state, wrapped from keys where id = any($1)`,
        [[old.kemKeyId, old.macKeyId]],
      )
      assert.deepEqual(rows, [
        { state: 'destroyed', wrapped: null },
        { state: 'destroyed', wrapped: null },
      ])
      const next = await deployment.recipients.sealingFor(owner.principal)
      assert.notEqual(next.recipientId, old.recipientId)
      await assert.rejects(deployment.recipients.revoke(owner.caller, owner.principal, old.recipientId), {
        code: 'object.not_found',
      })
    })
  })

  describe('enrolment', () => {
    test('the second step makes the client’s key the recipient; the server’s is retired and opens nothing more', async () => {
      const before = await deployment.recipients.sealingFor(owner.principal)
      const pending = await enroll(newKey())
      assert.equal(pending.macKey.length, 64)
      assert.equal(
        (await deployment.recipients.sealingFor(owner.principal)).recipientId,
        before.recipientId,
        'pending changes nothing',
      )
      const { recipientId } = pending.recipient
      const confirmed = await deployment.recipients.confirm(
        owner.caller,
        owner.principal,
        recipientId,
        proofOf(pending),
      )
      assert.deepEqual([confirmed.state, confirmed.custody], ['active', 'client'])
      const after = await deployment.recipients.sealingFor(owner.principal)
      assert.deepEqual(
        [after.recipientId, after.custody, after.kemKeyId],
        [recipientId, 'client', pending.recipient.kemKeyId],
      )
      assert.ok(equalBytes(after.mac.mac(utf8('m')), provider.macKey(pending.macKey).mac(utf8('m'))))
      await assert.rejects(deployment.recipients.readerFor(owner.principal, recipientId), { code: 'envelope.not_ours' })
      assert.deepEqual((await rowsOf(owner.principal.tenantId)).sort(), ['client active', 'server retired'])
    })

    test('the keys of a replaced recipient are destroyed with it, held by the server or by the client', async () => {
      const server = await deployment.recipients.sealingFor(owner.principal)
      const client = (await enrolled()).recipient
      const last = (await enrolled()).recipient
      const ids = [server.kemKeyId, server.macKeyId, client.macKeyId, last.macKeyId]
      const { rows } = await deployment.db.query<{ id: string; state: string; held: boolean }>(
        'select id, state, wrapped is not null as held from keys where id = any($1)',
        [ids],
      )
      const states = new Map(rows.map(({ id, state, held }) => [id, `${state} ${held}`]))
      assert.deepEqual(
        ids.map((id) => states.get(id)),
        ['destroyed false', 'destroyed false', 'destroyed false', 'active true'],
      )
    })

    test('an API key that was revoked after it was let in neither enrols nor confirms', async () => {
      const editor = await apiKey('editor')
      const pending = await enroll(newKey(), editor)
      await deployment.apiKeys.revoke(owner.caller, editor.keyId)
      const { recipientId } = pending.recipient
      const refusal = { code: 'auth.unauthenticated', message: 'No valid API key was presented.' }
      await assert.rejects(enroll(newKey(), editor), refusal)
      await assert.rejects(
        deployment.recipients.confirm(callerOf(editor), editor, recipientId, proofOf(pending)),
        refusal,
      )
      assert.deepEqual(await rowsOf(owner.principal.tenantId), ['client pending'])
    })

    test('another process seals to the new recipient once it hears of it', async () => {
      const replica = deployment.replica()
      const before = await replica.recipients.sealingFor(owner.principal)
      const { recipient } = await enrolled()
      replica.feed.send('recipient', `${owner.principal.tenantId}/${owner.principal.keyId}`)
      const after = await replica.recipients.sealingFor(owner.principal)
      assert.notEqual(after.recipientId, before.recipientId)
      assert.equal(after.recipientId, recipient.recipientId)
    })

    test('the answer got lost: the same key again works, the first attempt is dead', async () => {
      const key = newKey()
      const [lost, again] = [await enroll(key), await enroll(key)]
      await assert.rejects(
        deployment.recipients.confirm(owner.caller, owner.principal, lost.recipient.recipientId, proofOf(lost)),
        { code: 'object.not_found' },
      )
      await deployment.recipients.confirm(owner.caller, owner.principal, again.recipient.recipientId, proofOf(again))
      assert.deepEqual(await rowsOf(owner.principal.tenantId), ['client active'])
    })

    test('the second answer got lost: the same proof again is answered alike', async () => {
      const pending = await enroll(newKey())
      const { recipientId } = pending.recipient
      const first = await deployment.recipients.confirm(owner.caller, owner.principal, recipientId, proofOf(pending))
      assert.deepEqual(
        await deployment.recipients.confirm(owner.caller, owner.principal, recipientId, proofOf(pending)),
        first,
      )
      await assert.rejects(
        deployment.recipients.confirm(owner.caller, owner.principal, recipientId, new Uint8Array(64)),
        { code: 'request.invalid' },
      )
    })

    test('a wrong proof is refused: another recipient’s, another MAC key’s, a bit, nothing', async () => {
      const [other, pending] = [await enroll(newKey(), await apiKey('editor')), await enroll(newKey())]
      const right = proofOf(pending)
      const flipped = copyBytes(right)
      flipped[63] = (flipped[63] ?? 0) ^ 1
      const otherKey = enrolmentProof(
        provider.macKey(other.macKey),
        pending.recipient.recipientId,
        pending.recipient.kem.bytes,
      )
      const confirm = (proof: Bytes) =>
        deployment.recipients.confirm(owner.caller, owner.principal, pending.recipient.recipientId, proof)
      for (const proof of [
        proofOf(other),
        otherKey,
        flipped,
        right.slice(0, 63),
        new Uint8Array(0),
        new Uint8Array(64),
      ]) {
        await assert.rejects(confirm(proof), { code: 'request.invalid', message: 'proof: does not verify.' })
      }
      assert.equal((await confirm(right)).state, 'active')
    })

    test('a pending recipient lives ten minutes, then its key may be enrolled again, by anybody', async () => {
      const [late, inTime, key] = [await apiKey('editor'), await apiKey('editor'), newKey()]
      const dead = await enroll(key, late)
      const living = await enroll(newKey(), inTime)
      deployment.clock.advance(10 * minute - 1)
      await deployment.recipients.confirm(callerOf(inTime), inTime, living.recipient.recipientId, proofOf(living))
      await assert.rejects(enroll(key), { code: 'request.invalid' })
      deployment.clock.advance(minute + 1)
      assert.deepEqual(await rowsOf(owner.principal.tenantId), ['client active'])
      await assert.rejects(
        deployment.recipients.confirm(callerOf(late), late, dead.recipient.recipientId, proofOf(dead)),
        { code: 'object.not_found' },
      )
      const again = await enroll(key)
      const confirmed = await deployment.recipients.confirm(
        owner.caller,
        owner.principal,
        again.recipient.recipientId,
        proofOf(again),
      )
      assert.equal(confirmed.state, 'active')
    })

    test('a key that is enrolled, anywhere, in any state, or that is ours, is refused with one text', async () => {
      const refusal = {
        code: 'request.invalid',
        message: 'kem_public_key: this key is enrolled already; make a new one.',
      }
      const stranger = await deployment.tenant('stranger')
      const active = await enrolled(stranger.principal)
      const revoked = await enrolled(await apiKey('editor'))
      await deployment.recipients.revoke(owner.caller, owner.principal, revoked.recipient.recipientId)
      const server = await deployment.recipients.sealingFor(await apiKey('editor'))
      const vaultKey = await deployment.tenantKeys.vaultKey(stranger.principal.tenantId)
      const { rows } = await deployment.db.query<{ public: Buffer }>(`select public from keys where purpose = 'canary'`)
      const canary = copyBytes(rows[0]?.public.subarray(0, 1184) ?? utf8(''))
      const taken = {
        active: active.recipient.kem.bytes,
        revoked: revoked.recipient.kem.bytes,
        server: server.kem.bytes,
        vault: vaultKey.kem.bytes,
        canary,
      }
      assert.equal(Object.keys(taken).length, 5)
      for (const [what, key] of Object.entries(taken)) await assert.rejects(enroll(key), refusal, what)
      await enroll(newKey())
    })

    test('two API keys that enrol one key at the same time: one of them does', async () => {
      const [one, two, key] = [await apiKey('editor'), await apiKey('editor'), newKey()]
      const results = await Promise.allSettled([enroll(key, one), enroll(key, two)])
      const refused = results.find((result) => result.status === 'rejected')
      assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
      assert.match(String(refused?.reason), /this key is enrolled already/)
    })

    test('a key that cannot be one is refused', async () => {
      const over = newKey().fill(255, 0, 3)
      const zero = new Uint8Array(1184)
      for (const key of [over, zero, newKey().slice(0, 1183), new Uint8Array([...newKey(), 0]), new Uint8Array(0)]) {
        await assert.rejects(enroll(key), { code: 'request.invalid' })
      }
      const input = { kemPublicKey: newKey(), suite: 'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512', name: 'controller' }
      await assert.rejects(deployment.recipients.enroll(owner.caller, owner.principal, input), {
        code: 'request.invalid',
      })
      await deployment.recipients.enroll(owner.caller, owner.principal, { ...input, suite: ML_KEM_SUITE })
    })

    test('the first one of an API key needs recipients:enroll, a later one keys:manage: a stolen key replaces nothing', async () => {
      const [viewer, editor] = [await apiKey('viewer'), await apiKey('editor')]
      await assert.rejects(enroll(newKey(), viewer), {
        code: 'auth.forbidden',
        details: { scope: 'recipients:enroll' },
      })
      const { recipient } = await enrolled(editor)
      await assert.rejects(enroll(newKey(), editor), { code: 'auth.forbidden', details: { scope: 'keys:manage' } })
      assert.equal((await deployment.recipients.sealingFor(editor)).recipientId, recipient.recipientId)
      await enrolled()
      await enrolled() // the owner manages keys
    })

    test('an API key that had a recipient of its own never falls back to the server’s', async () => {
      const editor = await apiKey('editor')
      const { recipient } = await enrolled(editor)
      await deployment.recipients.revoke(owner.caller, owner.principal, recipient.recipientId)
      for (const attempt of [deployment.recipients, deployment.replica().recipients]) {
        await assert.rejects(attempt.sealingFor(editor), { code: 'recipient.required' })
        await assert.rejects(attempt.readerFor(editor, recipient.recipientId), { code: 'envelope.not_ours' })
      }
      const never = await apiKey('editor')
      const pending = await enroll(newKey(), never)
      await deployment.recipients.revoke(owner.caller, owner.principal, pending.recipient.recipientId)
      assert.equal(
        (await deployment.recipients.sealingFor(never)).custody,
        'server',
        'one that was never confirmed does not count',
      )
    })

    test('another API key’s and another tenant’s recipient is not found, exactly as one that does not exist', async () => {
      const [stranger, editor] = [await deployment.tenant('stranger'), await apiKey('editor')]
      const pending = await enroll(newKey())
      const refusal = { code: 'object.not_found', message: 'No such object.' }
      const { recipientId } = pending.recipient
      for (const id of [recipientId, 'rcp_01kat4hvr07rf9mm9f7nrvz4gg']) {
        for (const principal of [stranger.principal, editor]) {
          await assert.rejects(
            deployment.recipients.confirm(callerOf(principal), principal, id, proofOf(pending)),
            refusal,
          )
          await assert.rejects(deployment.recipients.revoke(callerOf(principal), principal, id), refusal)
        }
      }
      assert.deepEqual(await rowsOf(stranger.principal.tenantId), [])
      await deployment.recipients.confirm(owner.caller, owner.principal, recipientId, proofOf(pending))
    })

    test('every step is on record before it counts', async () => {
      const pending = await enroll(newKey())
      const { recipientId } = pending.recipient
      const confirm = () => deployment.recipients.confirm(owner.caller, owner.principal, recipientId, proofOf(pending))
      deployment.audit.failing = true
      await assert.rejects(enroll(newKey()), { code: 'audit.unavailable' })
      await assert.rejects(confirm(), { code: 'audit.unavailable' })
      await assert.rejects(deployment.recipients.revoke(owner.caller, owner.principal, recipientId), {
        code: 'audit.unavailable',
      })
      deployment.audit.failing = false
      assert.deepEqual(await rowsOf(owner.principal.tenantId), ['client pending'])
      await confirm()
      await deployment.recipients.revoke(owner.caller, owner.principal, recipientId)
      const actions = deployment.audit.events
        .filter((event) => event.object?.id === recipientId)
        .map((event) => event.action)
      assert.deepEqual(actions, ['recipients.enroll', 'recipients.confirm', 'recipients.revoke'])
      assert.equal(
        JSON.stringify(deployment.audit.events).includes(Buffer.from(pending.macKey).toString('base64')),
        false,
      )
    })
  })
})
