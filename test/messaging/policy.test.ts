import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { callerOf, createIntegration, createMessaging, refusalOf, until } from './harness.ts'

let broker: Mosquitto
before(async () => {
  broker = await startMosquitto()
})
after(() => broker.stop())

/** An integration with a policy, on a real broker unless another port is given. */
function setUp(rules: readonly unknown[], members: Record<string, unknown> = {}, port = broker.ports.tcp) {
  const messaging = createMessaging()
  const policyId = messaging.policies.put(rules, members)
  const integration = createIntegration({ policyId, config: { topics: ['listed/#'] } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port })
  return { messaging, integration, policyId, [Symbol.asyncDispose]: () => messaging[Symbol.asyncDispose]() }
}

test('with a policy, config.topics is no allow list any more: the rules decide, and the row says which', async () => {
  await using at = setUp([{ id: 'own', effect: 'allow', actions: ['publish'], topics: ['keys/${clientId}/#'] }])
  const caller = callerOf(at.integration)
  const topic = `keys/${caller.actor.id}/temperature`
  assert.equal((await at.messaging.send(at.integration, { caller, topic })).outcome, 'acknowledged')
  const [intent] = at.messaging.audit.rows
  const { policy_id, policy_revision, policy_reason, rule, pattern, decision_us } = intent?.detail ?? {}
  assert.deepEqual(
    { policy_id, policy_revision, policy_reason, rule, pattern },
    {
      policy_id: at.policyId,
      policy_revision: 1,
      policy_reason: 'rule',
      rule: 'own',
      pattern: `keys/${caller.actor.id}/#`,
    },
  )
  assert.equal(typeof decision_us, 'number')

  const other = await refusalOf(
    at.messaging.send(at.integration, { caller, topic: `keys/${newId('key')}/temperature` }),
  )
  assert.equal(other.code, 'policy.denied')
  assert.deepEqual(other.details, { reason: 'no rule allows it', policy_id: at.policyId, policy_revision: 1 })
  const listed = await refusalOf(at.messaging.send(at.integration, { caller, topic: 'listed/x' }))
  assert.equal(listed.code, 'policy.denied')
})

test('a refusal names rule and reason, and is on record before it is answered', async () => {
  await using at = setUp([
    { id: 'all', effect: 'allow', topics: ['#'] },
    { id: 'wall', effect: 'deny', topics: ['secret/#'] },
  ])
  const err = await refusalOf(at.messaging.send(at.integration, { topic: 'secret/x', qos: 1 }))
  assert.equal(err.message, 'Denied by policy: rule "wall" denies it.')
  assert.deepEqual(err.details, {
    reason: 'rule "wall" denies it',
    rule: 'wall',
    policy_id: at.policyId,
    policy_revision: 1,
  })
  assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.denied denied'])
  const { topic, rule, pattern, policy_reason } = at.messaging.audit.rows[0]?.detail ?? {}
  assert.deepEqual(
    { topic, rule, pattern, policy_reason },
    { topic: 'secret/x', rule: 'wall', pattern: 'secret/#', policy_reason: 'rule' },
  )

  const overlap = await refusalOf(at.messaging.gather(at.integration, { topic: '+/x' }))
  assert.match(overlap.message, /rule "wall" denies some of what the filter reaches, secret\/x for one/)
  assert.equal(at.messaging.audit.rows.at(-1)?.action, 'proxy.subscribe.denied')

  at.messaging.audit.broken.failOn = 'proxy.publish.denied'
  const unrecorded = await refusalOf(at.messaging.send(at.integration, { topic: 'secret/x' }))
  assert.equal(unrecorded.code, 'audit.unavailable')
})

test('QoS is capped and the retain flag stripped as the rule says, in the answer and at the broker', async () => {
  const fake = await startFakeBroker()
  await using at = setUp(
    [{ id: 'cap', effect: 'allow', actions: ['publish'], topics: ['t/#'], maxQos: 1, qosMode: 'cap', retain: 'strip' }],
    {},
    fake.port,
  )
  try {
    const result = await at.messaging.send(at.integration, { topic: 't/x', qos: 2, retain: true })
    assert.deepEqual([result.qos, result.retain, result.outcome], [1, false, 'acknowledged'])
    const [sent] = fake.packetsOf('publish')
    assert.deepEqual([sent?.qos, sent?.retain], [1, false])
    const { qos, retain, forwarded_qos, forwarded_retain } = at.messaging.audit.rows[0]?.detail ?? {}
    assert.deepEqual([qos, retain, forwarded_qos, forwarded_retain], [2, true, 1, false])
  } finally {
    await fake.stop()
  }
})

test('a subscription asks the broker for the QoS that the rule grants', async () => {
  const fake = await startFakeBroker()
  await using at = setUp(
    [{ id: 's', effect: 'allow', actions: ['subscribe'], topics: ['t/#'], maxQos: 0 }],
    {},
    fake.port,
  )
  try {
    const result = await at.messaging.gather(at.integration, { topic: 't/x', qos: 2, waitMs: 50 })
    assert.equal(result.granted_qos, 0)
    assert.equal(fake.packetsOf('subscribe')[0]?.subscriptions[0]?.qos, 0)
  } finally {
    await fake.stop()
  }
})

test('every delivery is judged again: what a filter reaches beyond its rule is withheld, counted and named', async () => {
  await using at = setUp(
    [
      { id: 'all', effect: 'allow', actions: ['publish', 'subscribe', 'receive'], topics: ['d/#'] },
      { id: 'hidden', effect: 'deny', actions: ['subscribe', 'receive'], topics: ['d/secret/#'], overlap: 'filter' },
    ],
    {},
  )
  for (const topic of ['d/open/1', 'd/secret/1', 'd/secret/2', 'd/open/2'])
    await at.messaging.send(at.integration, { topic, retain: true })
  const { messages } = await at.messaging.gather(at.integration, { topic: 'd/#', waitMs: 400 })
  assert.deepEqual(messages.map(({ topic }) => topic).sort(), ['d/open/1', 'd/open/2'])
  const row = at.messaging.audit.rows.find(({ action }) => action === 'proxy.delivery')
  assert.equal(row?.outcome, 'denied')
  const { rule, policy_reason, refused, policy_id } = row?.detail ?? {}
  assert.deepEqual(
    { rule, policy_reason, refused, policy_id },
    { rule: 'hidden', policy_reason: 'rule', refused: 2, policy_id: at.policyId },
  )
})

test('a policy that changes while a collect waits bites within its time: nothing more is handed on', async () => {
  const connections: FakeConnection[] = []
  const fake = await startFakeBroker({
    misbehave: {
      subscribe({ messageId = 0 }, connection) {
        connection.send({ cmd: 'suback', messageId, granted: [0] })
        connections.push(connection)
      },
    },
  })
  const rule = { id: 'r', effect: 'allow', topics: ['t/#'] }
  await using at = setUp([rule], {}, fake.port)
  try {
    const collecting = at.messaging.gather(at.integration, { topic: 't/#', qos: 0, waitMs: 2_500 })
    await until(() => connections.length === 1)
    const [connection] = connections
    const say = (topic: string) =>
      connection?.send({ cmd: 'publish', topic, payload: 'x', qos: 0, retain: false, dup: false })
    say('t/before')
    at.messaging.policies.put([{ ...rule, id: 'other', topics: ['u/#'] }], { id: at.policyId })
    const changedMs = performance.now()
    const timer = setInterval(() => say(`t/after/${Math.round(performance.now() - changedMs)}`), 50)
    const { messages } = await collecting
    clearInterval(timer)
    const topics = messages.map(({ topic }) => topic)
    assert.ok(topics.includes('t/before'))
    const latest = Math.max(
      0,
      ...topics.filter((topic) => topic.startsWith('t/after/')).map((topic) => Number(topic.slice(8))),
    )
    assert.ok(latest < 1_500, `a message was handed on ${latest} ms after the change`)
    const withheld = at.messaging.audit.rows.find(({ action }) => action === 'proxy.delivery')
    assert.ok(Number(withheld?.detail?.['refused']) > 5, 'messages did come after the change')
  } finally {
    await fake.stop()
  }
})

test('a policy that is not there denies everything, and says what to do', async () => {
  await using at = setUp([{ id: 'all', effect: 'allow', topics: ['#'] }])
  at.messaging.policies.remove(at.policyId)
  for (const refusal of [
    at.messaging.send(at.integration, { topic: 'a' }),
    at.messaging.gather(at.integration, { topic: 'a' }),
  ]) {
    const err = await refusalOf(refusal)
    assert.equal(err.code, 'policy.denied')
    assert.match(err.message, /is not there.*set policy_id/)
  }
  assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.denied denied', 'proxy.subscribe.denied denied'])
})

test('a policy that cannot be loaded refuses with 503, and is never taken for an allow', async () => {
  await using at = setUp([{ id: 'all', effect: 'allow', topics: ['#'] }])
  at.messaging.policies.active = () => Promise.reject(new Error('database.unavailable'))
  await assert.rejects(at.messaging.send(at.integration, { topic: 'a' }), /database\.unavailable/)
  assert.deepEqual(at.messaging.audit.rows, [])
})

test('a dry run answers the decision of the policy with a line for every rule', async () => {
  await using at = setUp([
    { id: 'all', effect: 'allow', topics: ['#'], maxQos: 1, qosMode: 'cap' },
    { id: 'wall', effect: 'deny', priority: 5, topics: ['secret/#'] },
  ])
  const yes = await at.messaging.publish(at.messaging.commandOf(at.integration, { topic: 'a', qos: 2, dryRun: true }))
  assert.ok('dry_run' in yes)
  assert.deepEqual(
    {
      allowed: yes.allowed,
      qos: yes.qos,
      rule: yes.rule,
      reason: yes.reason,
      policy_id: yes.policy_id,
      revision: yes.policy_revision,
    },
    { allowed: true, qos: 1, rule: 'all', reason: 'rule "all" allows it', policy_id: at.policyId, revision: 1 },
  )
  assert.deepEqual(yes.trace, ['allow all: applies, #', 'deny wall at priority 5: passed over: topic, secret/#'])
  const no = await at.messaging.publish(at.messaging.commandOf(at.integration, { topic: 'secret/x', dryRun: true }))
  assert.ok('dry_run' in no && !no.allowed)
  assert.deepEqual(no.trace[0], 'deny wall at priority 5: applies, secret/#')
  assert.equal(at.messaging.pool.stats().connects, 0)
})

test('conditions on the caller decide: type, scopes, address', async () => {
  await using at = setUp([
    {
      id: 'lan',
      effect: 'allow',
      actions: ['publish'],
      topics: ['lan/#'],
      when: { type: ['service'], ip: ['10.0.0.0/8'] },
    },
  ])
  const from = (address: string) => {
    const { actor, ...caller } = callerOf(at.integration)
    return { ...caller, actor: { ...actor, address } }
  }
  const accepted = await at.messaging.send(at.integration, { caller: from('::ffff:10.1.2.3'), topic: 'lan/x' })
  assert.equal(accepted.outcome, 'acknowledged')
  const refused = await refusalOf(at.messaging.send(at.integration, { caller: from('11.1.2.3'), topic: 'lan/x' }))
  assert.equal(refused.code, 'policy.denied')
})
