import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { Log } from '#src/core/log.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { type DeploymentKeys, openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import { createDocumentWatch } from '#src/keys/document-watch.ts'
import type { KeyOperations } from '#src/keys/key-operations.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'
import { everyKey, followingKeys, keyOperationsOf } from '#test/support/key-operations.ts'

const day = 86_400_000

describe('the root key', () => {
  let deployment: TestDeployment
  let operations: KeyOperations
  let server: DeploymentKeys
  beforeEach(async () => {
    deployment = await testDeployment()
    operations = keyOperationsOf(deployment)
    deployment.clock.advance(1000) // what is made now comes after what the start made
    server = await followingKeys(deployment)
  })
  afterEach(async () => {
    server.close()
    await deployment.drop()
  })

  async function takeOffline(): Promise<Secret<string>> {
    const files: Secret<string>[] = []
    await operations.root.takeOffline(async (content) => void files.push(content))
    const [file] = files
    assert.ok(file && files.length === 1)
    await server.reload()
    return file
  }
  const bring = (file: Secret<string>) => operations.parseRootFile(file)
  const openServed = async (atMs = deployment.clock.now(), root = server.rootFingerprint) =>
    openKeyDocument(deployment.provider, await server.document(), root, Math.floor(atMs / 1000))
  const rootRow = async () =>
    (
      await deployment.db.query<{ id: string; state: string; wrapped: Buffer | null }>(
        `select id, state, wrapped from keys where purpose = 'root-key' order by created_at, id`,
      )
    ).rows

  test('taken offline, its private half is in the file and nowhere in the database; the last document is served for 90 days', async () => {
    const before = server.rootFingerprint
    const file = await takeOffline()
    assert.equal((await rootRow())[0]?.wrapped, null)
    assert.equal(server.rootFingerprint, before)
    assert.equal(bring(file).signing.publicKey.length, 1952)
    assert.match(file.reveal(), /unencrypted/)
    assert.deepEqual(await server.documentState(), {
      isRootOffline: true,
      expiresAtS: Math.floor(deployment.clock.now() / 1000) + 90 * 86_400,
    })
    const first = await server.document()
    deployment.clock.advance(89 * day)
    assert.deepEqual(await server.document(), first, 'no process can sign another')
    assert.ok((await openServed()).get(server.issuer.keyId))
    await assert.rejects(openServed(deployment.clock.now() + 2 * day), { code: 'envelope.issuer_unknown' })
    assert.deepEqual(
      deployment.audit.events.map(({ action }) => action),
      ['keys.sign_document', 'keys.root_offline'],
    )
  })

  test('a server that starts while the root is offline serves the same document, and answers', async () => {
    await takeOffline()
    const started = await openDeploymentKeys(deployment)
    assert.deepEqual(await started.document(), await server.document())
    assert.equal(started.issuer.keyId, server.issuer.keyId)
  })

  test('brought back for one document: the server serves it, and the root stays offline', async () => {
    const file = await takeOffline()
    deployment.clock.advance(80 * day)
    const { expiresAt } = await operations.root.sign(bring(file), 30)
    await server.reload()
    assert.equal(expiresAt.getTime(), Math.floor(deployment.clock.now() / 1000) * 1000 + 30 * day)
    assert.ok(await openServed(deployment.clock.now() + 29 * day))
    assert.equal((await rootRow())[0]?.wrapped, null)
    for (const days of [0, 91, 1.5]) {
      await assert.rejects(operations.root.sign(bring(file), days), { code: 'request.invalid' })
    }
  })

  test('put back, processes sign for themselves again: seven days, the same root', async () => {
    const before = server.rootFingerprint
    const file = await takeOffline()
    await operations.root.putBack(bring(file))
    await server.reload()
    assert.equal(server.rootFingerprint, before)
    const { isRootOffline, expiresAtS } = await server.documentState()
    assert.deepEqual([isRootOffline, expiresAtS], [false, Math.floor(deployment.clock.now() / 1000) + 7 * 86_400])
    assert.ok(await openServed())
    assert.deepEqual((await deployment.db.query('select 1 from key_documents')).rows, [])
    await assert.rejects(operations.root.sign(bring(file)), { code: 'precondition.failed', message: /not offline/ })
    await assert.rejects(operations.root.putBack(bring(file)), { code: 'precondition.failed' })
    const again = await openDeploymentKeys(deployment)
    assert.ok((await again.document()).signed)
  })

  test('offline, a new key is published only with a document that the root signs; activation needs none', async () => {
    const file = await takeOffline()
    const old = server.issuer.keyId
    const noRoot = { code: 'precondition.failed', message: /--root-file/ }
    await assert.rejects(operations.rotate('issuer-key'), noRoot)
    await assert.rejects(operations.rotate('audit-key'), noRoot)
    await server.reload()
    assert.equal((await openServed()).size, 2, 'nothing was published')

    const { keyId } = await operations.rotate('issuer-key', bring(file))
    await server.reload()
    assert.equal((await openServed()).get(keyId)?.state, 'next')
    deployment.clock.advance(360_000)
    assert.equal(await operations.upkeep(everyKey), 1)
    await server.reload()
    assert.equal(server.issuer.keyId, keyId)
    assert.equal((await openServed()).get(keyId)?.state, 'next', 'readers accept it: it is in a document of their root')

    await operations.root.sign(bring(file))
    await server.reload()
    const document = await openServed()
    assert.equal(document.get(keyId)?.state, 'active')
    assert.equal(document.get(old)?.state, 'retired')
  })

  test('offline, a revocation takes effect here at once, and says that readers need a document', async () => {
    const file = await takeOffline()
    const first = server.issuer.keyId
    await assert.rejects(operations.revoke(first), { code: 'precondition.failed', message: /--root-file/ })
    await server.reload()
    assert.equal(server.issuer.keyId, first, 'no successor that nobody knows')

    const { keyId: second } = await operations.rotate('issuer-key', bring(file))
    assert.deepEqual(await operations.revoke(first), { keyId: first, successorId: second, isInDocument: false })
    await server.reload()
    assert.equal(server.issuer.keyId, second)
    assert.equal(server.issuers().get(first)?.state, 'revoked')
    assert.equal((await openServed()).get(first)?.state, 'active')
    await operations.root.sign(bring(file))
    await server.reload()
    assert.equal((await openServed()).get(first)?.state, 'revoked')

    const third = await operations.revoke(second, bring(file))
    assert.ok(third.isInDocument && third.successorId)
    await server.reload()
    assert.equal((await openServed()).get(third.successorId)?.state, 'active')
  })

  test('the root of another deployment is refused by name, and signs nothing', async () => {
    await takeOffline()
    const other = await testDeployment()
    const files: Secret<string>[] = []
    await keyOperationsOf(other).root.takeOffline(async (content) => void files.push(content))
    const foreign = bring(files[0] ?? new Secret(''))
    await other.drop()
    const refusal = { code: 'precondition.failed', message: new RegExp(foreign.keyId) }
    await assert.rejects(operations.root.sign(foreign), refusal)
    await assert.rejects(operations.root.putBack(foreign), refusal)
    await assert.rejects(operations.rotate('issuer-key', foreign), refusal)
  })

  test('a file that cannot be written leaves the root where it is; two commands take it offline once', async () => {
    const full = new Error('no space left')
    await assert.rejects(
      operations.root.takeOffline(() => Promise.reject(full)),
      full,
    )
    assert.notEqual((await rootRow())[0]?.wrapped, null)
    assert.deepEqual((await deployment.db.query('select 1 from key_documents')).rows, [])
    const both = await Promise.allSettled([
      operations.root.takeOffline(async () => undefined),
      keyOperationsOf(deployment).root.takeOffline(async () => undefined),
    ])
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })

  test('a root file is refused whatever is wrong with it, and the message holds nothing of it', async () => {
    const good = JSON.parse((await takeOffline()).reveal()) as Record<string, unknown>
    const seed = String(good['seed'])
    const bad: [string, string][] = [
      ['not JSON', `{"seed": "${seed}"`],
      ['another member', JSON.stringify({ ...good, more: 1 })],
      ['a member missing', JSON.stringify({ ...good, key_id: undefined })],
      ['another version', JSON.stringify({ ...good, version: 2 })],
      ['a recipient file', JSON.stringify({ version: 1, kem_seed: seed })],
      ['another seed', JSON.stringify({ ...good, seed: seed.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) })],
      ['a short seed', JSON.stringify({ ...good, seed: seed.slice(1) })],
      ['a member twice', JSON.stringify(good).replace('{', `{"seed":"${seed}",`)],
      ['too long', JSON.stringify({ ...good, warning: 'x'.repeat(20_000) })],
    ]
    for (const [what, text] of bad) {
      assert.throws(
        () => bring(new Secret(text)),
        (err: Error & { code?: string }) => {
          assert.equal(err.code, 'request.invalid', what)
          assert.ok(!err.message.includes(seed.slice(1)), what)
          return true
        },
      )
    }
  })

  test('a new root is another pin: the old one refuses the new document, and the old root is destroyed', async () => {
    const before = server.rootFingerprint
    const { keyId, replacedId } = await operations.replace('root-key')
    await server.reload()
    assert.notEqual(server.rootFingerprint, before)
    await assert.rejects(openServed(deployment.clock.now(), before), { code: 'envelope.issuer_unknown' })
    assert.ok((await openServed()).get(server.issuer.keyId), 'the same issuer, under the new root')
    assert.deepEqual(
      (await rootRow()).map(({ id, state, wrapped }) => [id, state, wrapped !== null]),
      [
        [replacedId, 'destroyed', false],
        [keyId, 'active', true],
      ],
    )
  })

  test('a new root can be made while the old one is offline; the file of the old one is then of no use', async () => {
    const file = await takeOffline()
    await operations.replace('root-key')
    await server.reload()
    assert.equal((await server.documentState()).isRootOffline, false)
    assert.ok(await openServed())
    await assert.rejects(operations.root.putBack(bring(file)), { code: 'precondition.failed' })
  })

  test('the log warns, once an hour, while the document of an offline root has less than seven days to live', async () => {
    const warnings: object[] = []
    const errors: string[] = []
    const log: Log = {
      ...silentLog,
      warn: (fields) => void warnings.push(fields),
      error: (_fields, message) => void errors.push(message),
    }
    const check = createDocumentWatch({ keys: server, clock: deployment.clock, log })
    await check()
    await takeOffline()
    deployment.clock.advance(83 * day - 1000)
    await check()
    assert.deepEqual(warnings, [])
    deployment.clock.advance(2000)
    await check()
    await check()
    assert.equal(warnings.length, 1)
    assert.match(JSON.stringify(warnings[0]), /"days_left":6/)
    deployment.clock.advance(3_600_000)
    await check()
    assert.equal(warnings.length, 2)
    deployment.clock.advance(8 * day)
    await check()
    assert.equal(warnings.length, 2)
    assert.deepEqual(errors, [
      'the key document has ended, clients refuse answers, and the root is offline; sign one: sealwire keys root sign --root-file FILE',
    ])
  })
})
