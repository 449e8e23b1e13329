import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Bytes } from '#src/core/bytes.ts'
import { type Clock, systemClock } from '#src/core/clock.ts'
import { createGuardRegistry, guardPublish } from '#src/messaging/message-guards.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { callerOf, createIntegration, createMessaging, identityOf, refusalOf } from './harness.ts'

interface SetUp extends AsyncDisposable {
  broker: FakeBroker
  messaging: ReturnType<typeof createMessaging>
  integration: ReturnType<typeof createIntegration>
}

/** An integration with guards on a broker that keeps what it gets. */
async function setUp(guards: object, clock: Clock = systemClock, policyId: string | null = null): Promise<SetUp> {
  const broker = await startFakeBroker()
  const messaging = createMessaging({ clock })
  const integration = createIntegration({ guards, policyId })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  return {
    broker,
    messaging,
    integration,
    async [Symbol.asyncDispose]() {
      await messaging[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

test('rate: beyond the burst a message is refused with the limit and the time to wait, and nothing is sent', async () => {
  await using at = await setUp({
    'rate-limit': { enabled: true, 'per-client': { 'messages-per-second': 1, burst: 2 } },
  })
  const caller = callerOf(at.integration)
  for (let i = 0; i < 2; i++) await at.messaging.send(at.integration, { caller, topic: 'a' })
  const err = await refusalOf(at.messaging.send(at.integration, { caller, topic: 'a' }))
  assert.equal(err.code, 'guard.refused')
  assert.equal(err.retryAfterS, 1)
  assert.equal(err.details?.['guard'], 'rate-limit')
  assert.equal(err.details?.['limit'], `per-client:${caller.actor.id}`)
  assert.equal(at.broker.packetsOf('publish').length, 2)
  const row = at.messaging.audit.rows.at(-1)
  assert.deepEqual([row?.action, row?.outcome], ['proxy.publish.denied', 'denied'])
  assert.equal(row?.detail?.['tags'], 'mqtt,blocked,rate-limited')
  assert.equal(row?.detail?.['rule_ids'], 'rate-limited')
  const limit = `per-client:${caller.actor.id}`
  assert.deepEqual(
    [row?.detail?.['limit'], row?.detail?.['reason']],
    [limit, `rate-limit: the limit ${limit} is used up`],
  )
  const other = await at.messaging.send(at.integration, { topic: 'a' })
  assert.equal(other.outcome, 'acknowledged', 'another key has a bucket of its own')
})

test('rate: a dry run pays nothing, and a change of the integration keeps the buckets whose limit stays', async () => {
  await using at = await setUp({ 'rate-limit': { enabled: true, global: { 'messages-per-second': 1, burst: 1 } } })
  for (let i = 0; i < 5; i++) {
    const dry = await at.messaging.publish(at.messaging.commandOf(at.integration, { topic: 'a', dryRun: true }))
    assert.ok('dry_run' in dry && dry.allowed)
  }
  await at.messaging.send(at.integration, { topic: 'a' })
  const changed = { ...at.integration, revision: 2 }
  const refused = await refusalOf(at.messaging.send(changed, { topic: 'a' }))
  assert.equal(refused.details?.['limit'], 'global')
  const dry = await at.messaging.publish(at.messaging.commandOf(changed, { topic: 'a', dryRun: true }))
  assert.ok('dry_run' in dry && !dry.allowed)
  assert.match(dry.guard ?? '', /^rate-limit: .*global/)
})

test('QoS: lowered where it may be, and the outcome follows what was forwarded; refused where it may not', async () => {
  await using at = await setUp({ qos: { enabled: true, 'max-qos': 0 } })
  const result = await at.messaging.send(at.integration, { topic: 'a', qos: 2 })
  assert.deepEqual([result.outcome, result.qos], ['sent', 0])
  assert.equal(at.messaging.audit.rows[0]?.detail?.['forwarded_qos'], 0)

  await using strict = await setUp({ qos: { enabled: true, 'max-qos': 1, downgrade: false } })
  const err = await refusalOf(strict.messaging.send(strict.integration, { topic: 'a', qos: 2 }))
  assert.equal(err.details?.['guard'], 'qos')
  assert.equal(strict.broker.packetsOf('publish').length, 0)
  await strict.messaging.gather(strict.integration, { topic: 'a', qos: 2, waitMs: 20 })
  assert.equal(
    strict.broker.packetsOf('subscribe')[0]?.subscriptions[0]?.qos,
    1,
    'a subscription is lowered, never refused',
  )
})

test('retained and inspection refuse with their names, and never with the payload', async () => {
  await using at = await setUp({
    retained: { enabled: true, 'allow-retained': false, 'allowed-topics': ['config/#'] },
    inspection: { enabled: true, patterns: { sqli: true }, 'max-payload-size': 100 },
  })
  const cases = [
    { given: { topic: 'data/x', retain: true }, guard: 'retained' },
    { given: { topic: 'a', text: "canary' OR 1=1--" }, guard: 'inspection', found: 'sqli' },
    { given: { topic: 'a', text: 'canary'.repeat(20) }, guard: 'inspection', found: 'size-limit' },
  ]
  for (const { given, guard, found } of cases) {
    const err = await refusalOf(at.messaging.send(at.integration, given))
    assert.deepEqual([err.code, err.details?.['guard'], err.details?.['class']], ['guard.refused', guard, found])
    assert.ok(!JSON.stringify([err.message, err.details]).includes('canary'))
  }
  assert.ok(!JSON.stringify(at.messaging.audit.rows).includes('canary'))
  assert.equal((await at.messaging.send(at.integration, { topic: 'config/x', retain: true })).outcome, 'acknowledged')
  assert.equal(at.broker.packetsOf('publish').length, 1)
})

test('detect-only: everything passes unchanged, and what was found is on record', async () => {
  await using at = await setUp({
    general: { 'block-mode': false },
    qos: { enabled: true, 'max-qos': 0 },
    inspection: { enabled: true, patterns: { 'command-injection': true } },
  })
  const result = await at.messaging.send(at.integration, { topic: 'a', text: '; rm -rf /', qos: 1 })
  assert.deepEqual([result.outcome, result.qos], ['acknowledged', 1])
  const { tags, rule_ids, guard_class, refused } = at.messaging.audit.rows[0]?.detail ?? {}
  assert.deepEqual(
    { tags, rule_ids, guard_class, refused },
    { tags: 'mqtt,detect-only', rule_ids: 'inspection-blocked', guard_class: 'cmd', refused: false },
  )
})

test('a row says the highest severity of what was found, and why in words', async () => {
  const custom = (name: string, severity?: string) => ({ name, pattern: name, ...(severity && { severity }) })
  const patterns = {
    sqli: true,
    'custom-patterns': [custom('mild', 'low'), custom('plain'), custom('dire', 'critical')],
  }
  await using at = await setUp({ inspection: { enabled: true, patterns } })
  const cases = [
    { text: 'mild', severity: 'low', classes: 'custom-mild' },
    { text: 'mild plain', severity: 'medium', classes: 'custom-mild,custom-plain' },
    { text: "mild' OR 1=1--", severity: 'high', classes: 'sqli,custom-mild' },
    { text: "dire' OR 1=1--", severity: 'critical', classes: 'sqli,custom-dire' },
  ]
  for (const { text, severity, classes } of cases) {
    await refusalOf(at.messaging.send(at.integration, { topic: 'a', text }))
    const detail = at.messaging.audit.rows.at(-1)?.detail
    assert.deepEqual([detail?.['severity'], detail?.['guard_class']], [severity, classes])
    assert.equal(detail?.['reason'], `inspection: found in the payload: ${classes.replace(',', ', ')}`)
  }
})

for (const failOpen of [false, true]) {
  test(`an error of a guard is logged without the payload, and on record beside others: fail-open ${failOpen}`, () => {
    const logged: { fields: object; message: string }[] = []
    const broken = {
      ...systemClock,
      monotonic: (): number => {
        throw new TypeError('canary')
      },
    }
    const log = { error: (fields: object, message: string) => void logged.push({ fields, message }) }
    const integration = createIntegration({
      guards: {
        'rate-limit': { enabled: true, global: { 'messages-per-second': 1 } },
        inspection: { enabled: true, patterns: { sqli: true } },
        general: { 'fail-open': failOpen },
      },
    })
    const guards = createGuardRegistry({ clock: broken, log })(integration)
    const judge = (text: string) =>
      guardPublish(
        guards,
        { topic: 'a', payload: new TextEncoder().encode(text), qos: 0, retain: false },
        identityOf(callerOf(integration)),
        { dryRun: false },
      )
    const attack = judge("canary' OR 1=1--")
    assert.equal(attack.refusal?.code, 'guard.refused')
    assert.deepEqual(
      [attack.record['rule_ids'], attack.record['guard_class'], attack.record['tags']],
      failOpen
        ? ['inspection-blocked,rate-limited', 'sqli', 'mqtt,blocked,inspection-blocked']
        : ['rate-limited', undefined, 'mqtt,blocked,rate-limited'],
    )
    assert.match(String(attack.record['reason']), /rate-limit: the guard failed/)
    assert.equal(judge('canary').refusal === null, failOpen)
    assert.equal(logged.length, 2)
    for (const { fields, message } of logged) {
      assert.equal(message, 'a guard failed')
      assert.deepEqual({ ...fields, cause: '' }, { integration_id: integration.id, guard: 'rate-limit', cause: '' })
      assert.match(JSON.stringify(fields), /"cause":"TypeError\\n {4}at /)
      assert.doesNotMatch(JSON.stringify(fields), /canary/)
    }
  })
}

test('the policy comes first: what it refuses pays no tokens, and the guards see what it forwards', async () => {
  await using at = await setUp({
    'rate-limit': { enabled: true, global: { 'messages-per-second': 1, burst: 1 } },
    retained: { enabled: true, 'allow-retained': false },
  })
  const policyId = at.messaging.policies.put([
    { id: 'strip', effect: 'allow', actions: ['publish'], topics: ['ok/#'], retain: 'strip' },
  ])
  const integration = { ...at.integration, policyId }
  for (let i = 0; i < 3; i++)
    assert.equal((await refusalOf(at.messaging.send(integration, { topic: 'no/x' }))).code, 'policy.denied')
  const result = await at.messaging.send(integration, {
    topic: 'ok/x',
    retain: true,
    payload: new Uint8Array(1) as Bytes,
  })
  assert.equal(result.retain, false, 'stripped before the retained guard looked')
  assert.equal((await refusalOf(at.messaging.send(integration, { topic: 'ok/x' }))).code, 'guard.refused')
})
