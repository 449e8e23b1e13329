import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { listKmsKeys, removeKmsKey } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { type HybridCryptoEnvelope, ML_KEM_SUITE, Sealwire, X_WING_SUITE } from '#src/sdk/index.ts'
import { eventually } from '#test/audit/parts.ts'
import { patience } from '#test/support/patience.ts'
import { failureOf } from '#test/support/sdk-calls.ts'
import { type ServedClient, type ServedDeployment, serveDeployment } from '#test/support/served-deployment.ts'
import { underTraffic } from '#test/support/steady-traffic.ts'

const run = promisify(execFile)
/** Records of the vault: some pages of a job. */
const ENTRIES = 100
const SERVER_FOLLOWS_MS = 1_000

/** Whom the envelope names as its signer; the SDK opened it, so that it is. */
const signerOf = ({ signature }: HybridCryptoEnvelope): string => signature.key_id

describe('under a hundred publishes a second to a server process and a real broker', () => {
  let served: ServedDeployment
  const entries: string[] = []

  before(async () => {
    served = await serveDeployment()
    const sealOne = async (_: unknown, i: number) => {
      const credential = { name: 'note', credentialType: 'custom_kv', values: { note: String(i) } } as const
      entries[i] = (await served.owner.vault.seal(credential)).id
    }
    await Promise.all(Array.from({ length: ENTRIES }, sealOne))
  })
  after(() => served?.close())

  /** Two clients in turn, one for each suite. */
  const newClients = () => Promise.all([served.client(ML_KEM_SUITE), served.client(X_WING_SUITE)])

  /** A call that publishes, opens the answer, and notes who signed it. */
  function publishing(clients: readonly ServedClient[]) {
    const signed = new Map<string, number>()
    const call = async (i: number) => {
      const signer = signerOf((await clients[i % clients.length]?.publish()) ?? assert.fail())
      signed.set(signer, (signed.get(signer) ?? 0) + 1)
    }
    const by = (keyId: string) => signed.get(keyId) ?? 0
    return { call, by, signers: () => [...signed.keys()] }
  }

  /** Runs `change`, and returns the steps that it left in the audit log of the deployment. */
  async function auditedSteps(change: () => Promise<void>): Promise<string[]> {
    const { db } = served.operator
    const text = `select seq, action from audit_rows where tenant_id = 'ten_00000000000000000000000000'
      and action like 'keys.%' order by seq`
    const before = (await db.query(text)).rows.length
    await change()
    return (await db.query<{ action: string }>(text)).rows.slice(before).map(({ action }) => action)
  }

  test('the issuer is rotated: no call fails, the successor signs within a second of its activation, and no client fetches the key document more than once', async (t) => {
    const clients = await newClients()
    const { call, by, signers } = publishing(clients)
    const first = served.operator.keys.issuer.keyId
    let successor = ''
    const steps = await auditedSteps(async () => {
      await underTraffic(t, { call }, async ({ until }) => {
        await until('answers of the first key', () => by(first) >= 50)
        successor = (await served.operationsAt(0).rotate('issuer-key')).keyId
        await until('more answers of the first key', () => by(first) >= 100)
        const fetched = clients.map(({ fetches }) => fetches())
        // In place of the six minutes that cached documents take to expire: the operator's clock and those of the clients.
        for (const client of clients) client.advance(360_000)
        assert.equal((await served.operationsAt(360_000).rotate('issuer-key')).step, 'activated')
        const activatedAtMs = performance.now()
        await until('an answer of the successor', () => by(successor) >= 1)
        const tookMs = performance.now() - activatedAtMs
        assert.ok(tookMs < patience(SERVER_FOLLOWS_MS), `the server followed after ${tookMs} ms`)
        await until('more answers of the successor', () => by(successor) >= 100)
        for (const [i, { fetches }] of clients.entries()) assert.ok(fetches() - (fetched[i] ?? 0) <= 1)
      })
    })
    assert.deepEqual(signers(), [first, successor])
    assert.deepEqual(steps, ['keys.publish', 'keys.retire', 'keys.activate'])
  })

  test('the issuer is revoked: a successor signs within a second, only answers on their way are refused, and what was kept does not open any more', async (t) => {
    const clients = await newClients()
    const { call, by, signers } = publishing(clients)
    const revoked = served.operator.keys.issuer.keyId
    const kept = await Promise.all(clients.map(({ publish }) => publish('kept')))
    let successor = ''
    let followedAtMs = Number.POSITIVE_INFINITY
    const steps = await auditedSteps(async () => {
      const isRefusal = ({ code }: { code: string }, sentAtMs: number) =>
        code === 'envelope.rejected' && sentAtMs < followedAtMs
      await underTraffic(t, { call, isRefusal }, async ({ until }) => {
        await until('answers of the key', () => by(revoked) >= 100)
        for (const client of clients) client.advance(120_000) // they may fetch the key document again
        const fetched = clients.map(({ fetches }) => fetches())
        const { successorId } = await served.operationsAt(0).revoke(revoked)
        const revokedAtMs = performance.now()
        successor = successorId ?? assert.fail('no successor')
        await until('an answer of the successor', () => by(successor) >= 1)
        followedAtMs = performance.now()
        assert.ok(followedAtMs - revokedAtMs < patience(SERVER_FOLLOWS_MS))
        await until('more answers of the successor', () => by(successor) >= 100)
        for (const [i, { fetches }] of clients.entries()) assert.equal(fetches() - (fetched[i] ?? 0), 1)
      })
    })
    assert.deepEqual(signers(), [revoked, successor])
    assert.deepEqual(steps, ['keys.revoke', 'keys.create'])
    for (const [i, envelope] of kept.entries()) {
      assert.equal(signerOf(envelope), revoked)
      const { sdk } = clients[i] ?? assert.fail()
      assert.equal((await failureOf(sdk.encryption.verifyOrigin(envelope))).code, 'envelope.rejected')
    }
  })

  test('a new root is not believed by who pinned the old one; who enrols again is answered', async () => {
    const before = served.operator.keys.rootFingerprint
    const client = await served.client()
    await client.publish()
    const steps = await auditedSteps(async () => {
      await served.operationsAt(0).replace('root-key')
    })
    assert.deepEqual(steps, ['keys.retire', 'keys.create', 'keys.destroy'])
    await served.operator.keys.reload()
    assert.notEqual(served.operator.keys.rootFingerprint, before)
    const pinned = new Sealwire({ baseUrl: served.url, provider: opensslProvider, rootFingerprint: before })
    const envelope = await client.publish('still known')
    assert.equal((await failureOf(pinned.encryption.verifyOrigin(envelope))).code, 'envelope.issuer_unknown')
    const [again] = await newClients()
    await again.publish()
  })

  /** Some calls are not a publish but one of the vault's; no two rotations of an entry are near each other. */
  function withVault(publish: (i: number) => Promise<unknown>) {
    const { vault } = served.owner
    const values = { hostname: '127.0.0.1', port: served.brokerPort }
    const entryAt = (i: number, every: number) => entries[Math.floor(i / every) % ENTRIES] ?? assert.fail()
    return async (i: number) => {
      if (i % 20 === 7) await vault.unseal(entryAt(i, 20))
      else if (i % 50 === 13) await vault.seal({ name: 'new', credentialType: 'custom_kv', values })
      else if (i % 50 === 38) await vault.rotate(entryAt(i, 50))
      else await publish(i)
    }
  }
  /** A hundred publishes a second, and ten of the vault's calls. */
  const vaultTraffic = async () => ({ call: withVault(publishing(await newClients()).call), perSecond: 110 })

  async function assertAllOpen(): Promise<void> {
    const opened = await Promise.all(entries.map((id) => served.owner.vault.unseal(id)))
    assert.equal(opened.length, ENTRIES)
    for (const [i, { values }] of opened.entries()) assert.equal(values['note'], String(i))
    await served.assertAuditWhole()
  }

  test('V7, G17: the vault moves to a new key: no call fails, no record is left, every one opens', async (t) => {
    const { keys } = served.owner
    await underTraffic(t, await vaultTraffic(), async () => {
      await keys.rotate('vault')
      await eventually(async () => (await keys.list()).find(({ move }) => move)?.move?.left === 0 || undefined)
    })
    await assertAllOpen()
  })

  test('F36: wraps move to a new KMS key by a command beside the server: no call fails, none is left, every record opens', async (t) => {
    const rewrap = ['src/cli/main.ts', 'keys', 'rewrap', '--to', 'local-next', '--json']
    const { result } = await underTraffic(t, await vaultTraffic(), () =>
      run(process.execPath, rewrap, { env: served.env }),
    )
    const { state, kms_keys: uses } = JSON.parse(result.stdout)
    assert.equal(state, 'done')
    const find = (isNext: boolean) =>
      uses.find((use: { kms_key_id: string }) => (use.kms_key_id === 'local-next') === isNext)
    const [next, old] = [find(true), find(false)]
    assert.ok(next.default && next.keys > 0 && next.shares >= ENTRIES)
    assert.deepEqual([old.keys, old.shares], [0, 0])
    // What the server seals now is under the new key: it learned of it without a restart.
    await served.owner.vault.seal({ name: 'after', credentialType: 'custom_kv', values: { note: 'after' } })
    const quiet = { log: silentLog }
    const listed = await listKmsKeys(served.config, quiet)
    assert.equal(listed.find(({ kmsKeyId }) => kmsKeyId === old.kms_key_id)?.shares, 0)
    await assert.rejects(removeKmsKey(served.config, old.kms_key_id, quiet), /ended less than a minute ago/)
    await assert.rejects(removeKmsKey(served.config, 'local-next', quiet), /need local-next|less than a minute/)
    await assertAllOpen()
  })
})
