import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { CredentialSource, ShareSource } from '#src/messaging/credential-gate.ts'
import { lockedError } from '#src/messaging/unlocks.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { randomShare, startCustody } from './custody-harness.ts'
import { createIntegration, createMessaging, until } from './harness.ts'

const locked = { code: 'integration.locked' }

describe('a locked integration', () => {
  test('publish, collect and connection test are refused, the broker hears nothing, each refusal is on record', async () => {
    await using at = await startCustody()
    const { integration } = await at.sealed()
    await assert.rejects(at.send(integration), (err: { code: string; message: string; details: object }) => {
      assert.equal(err.code, 'integration.locked')
      assert.match(err.message, /POST \/api\/v2\/integrations\/int_\w+\/unlock/)
      assert.deepEqual(err.details, {
        integration_id: integration.id,
        unlock: `/api/v2/integrations/${integration.id}/unlock`,
      })
      return true
    })
    await assert.rejects(at.gather(integration), locked)
    await assert.rejects(at.test(integration), locked)
    assert.equal(at.broker.connections.length, 0)
    assert.deepEqual(at.rowsOf(integration).slice(1), [
      'proxy.publish.intent success',
      'proxy.publish.outcome denied integration.locked',
      'proxy.subscribe.intent success',
      'proxy.subscribe.outcome denied integration.locked',
      'integrations.test denied integration.locked',
    ])
  })

  test('a connection test may bring the share for itself: it unlocks nothing, and a wrong one connects nowhere', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await assert.rejects(at.test(integration, randomShare()), { code: 'custody.rejected' })
    assert.equal(at.broker.connections.length, 0)
    assert.equal((await at.test(integration, share)).protocol_version, 5)
    await assert.rejects(at.send(integration), locked)
    await assert.rejects(at.test(integration), locked)
    assert.equal(at.broker.packetsOf('connect').length, 1)
  })

  test('an unlock of another integration on the same credential does not help', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const other = await at.integrate(integration.credentialId)
    await at.unlock(other, share)
    await at.send(other)
    await assert.rejects(at.send(integration), locked)
  })

  test('a credential that comes into split custody locks its integrations, and their connections end', async () => {
    await using at = await startCustody()
    const { integration } = await at.sealed(false)
    await at.send(integration)
    await at.vault.rotate(at.caller, integration.credentialId, undefined, { enable: true })
    await assert.rejects(at.send(integration), locked)
    await at.broker.received('disconnect')
    assert.equal(at.broker.packetsOf('connect').length, 1)
  })

  test('a credential that came into split custody elsewhere, and this process has not heard of it, is locked as well', async () => {
    await using at = await startCustody()
    const { integration } = await at.sealed(false)
    assert.equal((await at.custody.stateOf(integration)).splitCustody, false)
    await at.deployment.replica().vault.rotate(at.caller, integration.credentialId, undefined, { enable: true })
    assert.equal((await at.custody.stateOf(integration)).splitCustody, false, 'it is cached')
    await assert.rejects(at.send(integration), locked)
    assert.equal(at.broker.connections.length, 0)
  })

  test('a share is asked for at every use, also of a connection that is open and that nobody has retired', async () => {
    const broker = await startFakeBroker()
    let held = true
    const custody: ShareSource = {
      settled: () => undefined,
      shareOf(integration) {
        if (!held) throw lockedError(integration)
        return randomShare()
      },
    }
    const vault: CredentialSource = {
      current: () => Promise.resolve({ version: 1, custody: 1, expiresAt: null }),
      open: () => Promise.resolve({ version: 1, values: { hostname: '127.0.0.1', port: broker.port } }),
    }
    try {
      await using messaging = createMessaging({ custody, vault })
      const integration = createIntegration()
      await messaging.send(integration, { topic: 'a' })
      await messaging.gather(integration, { topic: 'b', waitMs: 1 })
      held = false
      await assert.rejects(messaging.send(integration, { topic: 'a' }), locked)
      await assert.rejects(messaging.gather(integration, { topic: 'b', waitMs: 1 }), locked)
      assert.equal(messaging.pool.stats().connections, 2)
    } finally {
      await broker.stop()
    }
  })

  test('one place opens credentials for connections', async () => {
    const folder = new URL('../../src/messaging/', import.meta.url)
    const files = (await readdir(folder)).filter((file) => file.endsWith('.ts'))
    const texts = await Promise.all(files.map((file) => readFile(new URL(file, folder), 'utf8')))
    assert.ok(files.length > 20)
    assert.deepEqual(
      files.filter((_, i) => /\bvault\.open\(/.test(texts[i] ?? '')),
      ['credential-gate.ts'],
    )
  })
})

describe('an unlocked integration', () => {
  test('publishes, collects on a second connection, is tested, and connects again when the broker hung up', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const { unlockedUntil } = await at.unlock(integration, share, 60)
    assert.equal(unlockedUntil.getTime(), at.clock.now() + 60_000)
    assert.deepEqual(await at.custody.stateOf(integration), { splitCustody: true, unlockedUntil })
    await at.send(integration)
    await at.gather(integration)
    await at.test(integration)
    assert.equal(at.broker.packetsOf('connect').length, 3)
    for (const connection of at.broker.connections) connection.close()
    await until(() => at.pool.stats().connections === 0)
    await at.send(integration)
    await at.gather(integration)
    assert.deepEqual(
      at.broker.packetsOf('connect').map(({ password }) => String(password)),
      Array.from({ length: 5 }, () => 'secret password'),
    )
  })

  test('after its time nothing runs any more: not on the open connection, not on a second one, not on a new one', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share, 60)
    await at.send(integration)
    at.clock.advance(59_999)
    await at.send(integration)
    at.clock.advance(1)
    await assert.rejects(at.send(integration), locked)
    await assert.rejects(at.gather(integration), locked)
    await assert.rejects(at.test(integration), locked)
    await at.broker.received('disconnect')
    await until(() => at.pool.stats().connections === 0)
    await assert.rejects(at.send(integration), locked)
    assert.equal(at.broker.packetsOf('connect').length, 1)
    assert.ok(at.rowsOf(integration).includes('integrations.lock success expired'))
    assert.deepEqual(await at.custody.stateOf(integration), { splitCustody: true, unlockedUntil: null })
  })

  test('a broker that hung up is not shown the login again after the time is over', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share, 60)
    await at.send(integration)
    for (const connection of at.broker.connections) connection.close()
    await until(() => at.pool.stats().connections === 0)
    at.clock.advance(60_000)
    await assert.rejects(at.send(integration), locked)
    assert.equal(at.broker.connections.length, 1)
  })

  test('the key wrapper’s cached share does not outlive the unlock', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share, 60)
    await at.send(integration)
    const asked = at.deployment.wrapper.calls.length
    at.clock.advance(60_000)
    await assert.rejects(at.send(integration), locked)
    await at.unlock(integration, share, 60)
    await at.send(integration)
    assert.equal(at.deployment.wrapper.calls.length, asked, 'it was cached all the time')
  })

  test('lock ends it at once: what is on its way finishes, the idle connection is ended', async () => {
    let acknowledge = () => {}
    await using at = await startCustody({
      misbehave: {
        misbehave: {
          publish({ messageId = 0 }, connection) {
            acknowledge = () => connection.send({ cmd: 'puback', messageId })
          },
        },
      },
    })
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.gather(integration)
    const running = at.send(integration)
    await at.broker.received('publish')
    await at.custody.lock(at.caller, integration.id)
    await at.broker.received('disconnect') // of the collecting connection, which is idle
    await assert.rejects(at.send(integration), locked)
    await until(() => at.pool.stats().connections === 1)
    acknowledge()
    const result = await running
    assert.equal('outcome' in result && result.outcome, 'acknowledged')
    await at.broker.received('disconnect', 2)
    assert.equal(at.broker.packetsOf('publish').length, 1)
    assert.deepEqual(
      at.rowsOf(integration).filter((row) => row.startsWith('integrations.lock')),
      ['integrations.lock success locked'],
    )
  })

  test('locked between the opened credential and CONNECT: the broker sees no login', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    for (const attempt of [at.send, at.gather, at.test]) {
      await at.unlock(integration, share)
      at.between.dialled = () => at.custody.lock(at.caller, integration.id)
      await assert.rejects(attempt(integration), locked)
    }
    assert.equal(at.broker.connections.length, 3)
    assert.equal(at.broker.packets.length, 0)
    at.between.dialled = () => Promise.resolve()
    await at.unlock(integration, share)
    await at.send(integration)
  })

  test('a message that waited for its place is not written when the time ended meanwhile', async () => {
    let acknowledge = () => {}
    await using at = await startCustody({
      misbehave: {
        misbehave: {
          publish({ messageId = 0 }, connection) {
            acknowledge = () => connection.send({ cmd: 'puback', messageId })
          },
        },
      },
    })
    const { integration, share } = await at.sealed()
    const narrow = {
      ...integration,
      config: { ...integration.config, limits: { ...integration.config.limits, maxInFlight: 1 } },
    }
    await at.unlock(integration, share, 60)
    const first = at.send(narrow, 'a', 120_000)
    await at.broker.received('publish')
    const second = at.send(narrow, 'a', 120_000)
    await until(() => at.rowsOf(integration).filter((row) => row === 'proxy.publish.intent success').length === 2)
    at.clock.advance(60_000)
    acknowledge()
    await first
    await assert.rejects(second, locked)
    assert.equal(at.broker.packetsOf('publish').length, 1)
  })

  test('rotation ends it, also under the same share; the connection of before drains', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.send(integration)
    await at.vault.rotate(at.caller, integration.credentialId, undefined, { share })
    await assert.rejects(at.send(integration), locked)
    await at.broker.received('disconnect')
    await until(() => at.rowsOf(integration).includes('integrations.lock success credential_changed'))
    await at.unlock(integration, share)
    await at.send(integration)
  })

  test('another credential, or no integration any more, end it', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const other = await at.sealed()
    await at.unlock(integration, share)
    await at.send(integration)
    const change = { credentialId: other.integration.credentialId }
    const changed = await at.integrations.update(at.caller, integration.id, '"1"', change)
    await assert.rejects(at.send({ ...changed, guards: null }), locked)
    await until(() => at.rowsOf(integration).includes('integrations.lock success integration_changed'))
    await at.unlock(other.integration, other.share)
    await at.integrations.remove(at.caller, other.integration.id, '"1"')
    await until(() => at.rowsOf(other.integration).includes('integrations.lock success integration_changed'))
  })

  test('a change that does not concern the credential leaves it', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.integrations.update(at.caller, integration.id, '"1"', { name: 'renamed' })
    await at.send(await at.integrations.find(at.caller.tenantId, integration.id))
  })

  test('a second unlock replaces the first and leaves the connection alone', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share, 60)
    await at.send(integration)
    at.clock.advance(30_000)
    await at.unlock(integration, share, 60)
    at.clock.advance(45_000)
    await at.send(integration)
    assert.equal(at.broker.packetsOf('connect').length, 1)
    assert.deepEqual(
      at.rowsOf(integration).filter((row) => row.startsWith('integrations.')),
      ['integrations.create success', 'integrations.unlock success', 'integrations.unlock success'],
    )
  })
})

describe('handing in a share', () => {
  test('a wrong one is refused and on record, and ten of them bound the next', async () => {
    await using at = await startCustody()
    const { integration } = await at.sealed()
    const other = await at.sealed()
    await assert.rejects(at.unlock(integration, other.share), { code: 'custody.rejected' })
    for (let i = 0; i < 9; i++)
      await assert.rejects(at.unlock(integration, randomShare()), { code: 'custody.rejected' })
    await assert.rejects(at.unlock(integration, randomShare()), { code: 'rate.limited' })
    await assert.rejects(at.send(integration), locked)
    const rows = at.rowsOf(integration).filter((row) => row.startsWith('integrations.unlock'))
    assert.equal(rows.filter((row) => row === 'integrations.unlock failure custody.rejected').length, 10)
    assert.equal(rows.at(-1), 'integrations.unlock failure rate.limited')
  })

  test('wrong shares of others do not end a connection, nor keep it from coming back', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.send(integration)
    for (let i = 0; i < 12; i++) await assert.rejects(at.unlock(integration, randomShare()))
    for (const connection of at.broker.connections) connection.close()
    await until(() => at.pool.stats().connections === 0)
    await at.send(integration)
  })

  test('a credential that needs no share is neither unlocked nor locked; a foreign integration is not found', async () => {
    await using at = await startCustody()
    const { integration } = await at.sealed(false)
    await assert.rejects(at.unlock(integration, randomShare()), { code: 'integration.invalid' })
    await assert.rejects(at.custody.lock(at.caller, integration.id), { code: 'integration.invalid' })
    assert.deepEqual(await at.custody.stateOf(integration), { splitCustody: false, unlockedUntil: null })
    const split = await at.sealed()
    const stranger = await at.deployment.tenant('stranger')
    const foreign = { caller: stranger.caller, integrationId: split.integration.id, share: split.share, ttlS: 60 }
    await assert.rejects(at.custody.unlock(foreign), { code: 'object.not_found' })
    await assert.rejects(at.custody.lock(stranger.caller, split.integration.id), { code: 'object.not_found' })
  })

  test('without its row nothing is unlocked', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    at.deployment.audit.failing = true
    await assert.rejects(at.unlock(integration, share), { code: 'audit.unavailable' })
    at.deployment.audit.failing = false
    await assert.rejects(at.send(integration), locked)
  })

  test('a lock works also where it cannot be recorded', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    at.deployment.audit.failing = true
    await assert.rejects(at.custody.lock(at.caller, integration.id), { code: 'audit.unavailable' })
    at.deployment.audit.failing = false
    await assert.rejects(at.send(integration), locked)
  })

  test('the share is in no audit row', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.send(integration)
    await at.custody.lock(at.caller, integration.id)
    const text = JSON.stringify(at.deployment.audit.events)
    assert.ok(text.includes('integrations.unlock'))
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      assert.ok(!text.includes(Buffer.from(share.reveal()).toString(encoding)), encoding)
    }
  })
})

describe('several processes', () => {
  test('each holds what was handed to it; a lock in one ends the unlock in every one', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const other = at.elsewhere()
    await at.unlock(integration, share)
    assert.notEqual(other.processId, at.custody.processId)
    assert.equal((await other.stateOf(integration)).unlockedUntil, null)
    assert.throws(() => other.shareOf(integration, 1), locked)
    await other.unlock({ caller: at.caller, integrationId: integration.id, share, ttlS: 60 })

    await at.custody.lock(at.caller, integration.id)
    assert.ok((await other.stateOf(integration)).unlockedUntil, 'it has not heard of it yet')
    other.feed.send('integration_lock', `${at.caller.tenantId}/${integration.id}`)
    await other.settled(integration)
    assert.throws(() => other.shareOf(integration, 1), locked)
  })

  test('a lock that was not announced is found when the change feed is back, and before a use', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const other = at.elsewhere()
    await other.unlock({ caller: at.caller, integrationId: integration.id, share, ttlS: 60 })
    await at.custody.lock(at.caller, integration.id)
    other.feed.send('integration_lock', undefined)
    await other.settled(integration)
    assert.throws(() => other.shareOf(integration, 1), locked)
    await other.close()
  })

  test('a lock is found at the next use while there is no change feed to announce it', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const other = at.elsewhere()
    await other.unlock({ caller: at.caller, integrationId: integration.id, share, ttlS: 60 })
    other.feed.live = false
    await other.settled(integration)
    other.shareOf(integration, 1)
    await at.custody.lock(at.caller, integration.id)
    await other.settled(integration)
    assert.throws(() => other.shareOf(integration, 1), locked)
  })

  test('an announcement of an older lock does not end a newer unlock', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.custody.lock(at.caller, integration.id)
    await at.unlock(integration, share)
    at.deployment.feed.send('integration_lock', `${at.caller.tenantId}/${integration.id}`)
    await at.send(integration)
  })

  test('a lock while the share is being judged counts', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    const { wrapper } = at.deployment
    const unwrap = wrapper.unwrap
    wrapper.unwrap = async (...args) => {
      wrapper.unwrap = unwrap
      await at.elsewhere().lock(at.caller, integration.id)
      return unwrap(...args)
    }
    await assert.rejects(at.unlock(integration, share), { code: 'precondition.failed' })
    await assert.rejects(at.send(integration), locked)
  })

  test('what a database that was away may have hidden is not used before it is known', async () => {
    await using at = await startCustody()
    const { integration, share } = await at.sealed()
    await at.unlock(integration, share)
    await at.send(integration)
    const { db } = at.deployment
    const query = db.query
    db.query = () => Promise.reject(Object.assign(new Error('away'), { code: 'database.unavailable' }))
    at.deployment.feed.send('integration_lock', undefined)
    await assert.rejects(at.send(integration), { code: 'database.unavailable' })
    db.query = query
    await at.send(integration)
  })
})
