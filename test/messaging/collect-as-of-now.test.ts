import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import type { Integration } from '#src/integrations/integration.ts'
import type { BrokerClient, IncomingMessage } from '#src/messaging/broker.ts'
import type { CollectLease } from '#src/messaging/pool.ts'
import { type CollectCommand, createCollect } from '#src/messaging/subscribe.ts'
import {
  callerOf,
  createIntegration,
  createJudges,
  createMemoryAudit,
  createMemoryIntegrations,
  identityOf,
  refusalOf,
} from './harness.ts'

/** A connection without a broker: the test says what comes, and when it ends. */
function createFakeClient() {
  const ended = Promise.withResolvers<number | null>()
  const subscribed = Promise.withResolvers<number>()
  const calls: string[] = []
  let hand: (message: IncomingMessage) => void = () => assert.fail('nobody listens')
  const unused = (): never => assert.fail('a collect has no use for it')
  const client: BrokerClient & { closed: boolean } = {
    closed: false,
    ended: ended.promise,
    onMessage(listener) {
      hand = listener
      return () => {}
    },
    subscribe(_filter, qos) {
      calls.push('subscribe')
      subscribed.resolve(qos)
      return Promise.resolve(qos)
    },
    onEnd(listener) {
      void ended.promise.then(listener)
      return () => {}
    },
    unsubscribe: () => Promise.resolve(true),
    destroy() {},
    publish: unused,
    end: unused,
    silenceMs: 0,
    get posture() {
      return unused()
    },
    get limits() {
      return unused()
    },
  }
  return {
    client,
    calls,
    /** The QoS that was asked of the broker, once it was. */
    subscribed: subscribed.promise,
    say: (topic: string) => hand({ topic, payload: utf8('x'), qos: 0, retain: false, properties: {} }),
    end() {
      client.closed = true
      ended.resolve(null)
    },
  }
}

function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let passedMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + passedMs }
  const { audit, rows, broken } = createMemoryAudit()
  const integrations = createMemoryIntegrations()
  const { policies, accessOf, guardsOf } = createJudges(clock)
  const fake = createFakeClient()
  const lent = Promise.withResolvers<CollectLease>()
  const gone = new AppError('broker.unreachable', 'There is no second one.')
  let leases = 0
  const pool = {
    assertHopeful: () => Promise.resolve(),
    collector: () => (leases++ === 0 ? lent.promise : Promise.reject(gone)),
  }
  const collect = createCollect({
    pool,
    countRefused: () => assert.fail(),
    integrations,
    accessOf,
    guardsOf,
    audit,
    clock,
  })
  return {
    integrations,
    policies,
    rows,
    broken,
    ...fake,
    connect: () => lent.resolve({ client: fake.client, release() {} }),
    start(integration: Integration, given: Partial<CollectCommand> = {}) {
      integrations.note(integration)
      const caller = callerOf(integration)
      const about = { caller, identity: identityOf(caller), integration, admit() {} }
      return collect({ ...about, topic: 't/#', waitMs: 20_000, deadlineMs: clock.monotonic() + 25_000, ...given })
    },
    /** Lets a second go by, and what was asked in it be answered. */
    async second() {
      passedMs += 1_000
      t.mock.timers.tick(1_000)
      await new Promise(setImmediate)
    },
    withheld: () =>
      rows
        .filter(({ action }) => action === 'proxy.delivery')
        .map(({ outcome, detail }) => [outcome, detail?.['policy_reason'], detail?.['rule'], detail?.['refused']]),
  }
}

const open = { id: 'open', effect: 'allow', topics: ['t/#'] }
const closed = { id: 'other', effect: 'allow', topics: ['u/#'] }

type Change = (at: ReturnType<typeof setUp>, integration: Integration) => void
const changes: readonly { what: string; change: Change }[] = [
  {
    what: 'policy_id names a policy that does not allow it',
    change: ({ integrations, policies }, integration) =>
      integrations.put({ ...integration, policyId: policies.put([closed]), revision: 2 }),
  },
  {
    what: 'policy_id is taken away, and config.topics does not allow it',
    change: ({ integrations }, integration) => integrations.put({ ...integration, policyId: null, revision: 2 }),
  },
  {
    what: 'allowed_operations is emptied',
    change: ({ integrations }, integration) =>
      integrations.put({ ...integration, allowedOperations: new Set(), revision: 2 }),
  },
  { what: 'the integration is deleted', change: ({ integrations }, integration) => integrations.remove(integration) },
  {
    what: 'the policy is changed',
    change: ({ policies }, { policyId }) => void policies.put([closed], { id: policyId ?? '' }),
  },
]

for (const { what, change } of changes) {
  test(`while a collect waits, ${what}: a second later nothing more is handed on`, async (t) => {
    const at = setUp(t)
    const integration = createIntegration({ policyId: at.policies.put([open]), config: { topics: ['listed/#'] } })
    const collecting = at.start(integration)
    at.connect()
    await at.subscribed
    await at.second()
    at.say('t/before')
    change(at, integration)
    await at.second()
    at.say('t/after')
    at.end()
    const result = await collecting
    assert.ok('messages' in result)
    assert.deepEqual(
      result.messages.map(({ topic }) => topic),
      ['t/before'],
    )
    assert.deepEqual(at.withheld(), [['denied', 'withdrawn', null, 1]])
  })

  test(`while a collect waits for its connection, ${what}: it does not subscribe, and is refused`, async (t) => {
    const at = setUp(t)
    const integration = createIntegration({ policyId: at.policies.put([open]), config: { topics: ['listed/#'] } })
    const refusal = refusalOf(at.start(integration))
    await new Promise(setImmediate)
    change(at, integration)
    await at.second()
    at.connect()
    const { code } = await refusal
    assert.ok(['policy.denied', 'operation.not_allowed', 'object.not_found'].includes(code), code)
    assert.deepEqual(at.calls, [])
    assert.deepEqual([at.rows.at(-1)?.action, at.rows.at(-1)?.detail?.['code']], ['proxy.subscribe.outcome', code])
  })
}

test('what came while nobody knew whether it is allowed is withheld, and the answer says that it may miss something', async (t) => {
  const at = setUp(t)
  const integration = createIntegration({ policyId: at.policies.put([open]) })
  const collecting = at.start(integration, { waitMs: 200 })
  at.connect()
  await at.subscribed
  at.say('t/before')
  const { active } = at.policies
  at.policies.active = () => Promise.reject(new AppError('database.unavailable', 'Away.'))
  await at.second()
  at.say('t/meanwhile')
  at.policies.active = active
  await at.second()
  const result = await collecting
  assert.ok('messages' in result)
  assert.deepEqual(
    result.messages.map(({ topic }) => topic),
    ['t/before'],
  )
  assert.deepEqual(at.withheld(), [['denied', 'unknown', null, 1]])
  assert.equal(result.truncated, true)
})

test('an integration that stays as it is goes on delivering, however often it is asked', async (t) => {
  const at = setUp(t)
  const collecting = at.start(createIntegration({ policyId: at.policies.put([open]) }))
  at.connect()
  await at.subscribed
  for (let i = 0; i < 10; i++) {
    await at.second()
    at.say(`t/${i}`)
  }
  at.end()
  const result = await collecting
  assert.ok('messages' in result)
  assert.equal(result.messages.length, 10)
  assert.deepEqual(at.withheld(), [])
})

test('deliveries are judged with the QoS that was asked for, not with what a guard made of it', async (t) => {
  const at = setUp(t)
  const policyId = at.policies.put([{ ...open, qos: [1] }])
  const collecting = at.start(createIntegration({ policyId, guards: { qos: { enabled: true, 'max-qos': 0 } } }), {
    qos: 1,
  })
  at.connect()
  assert.equal(await at.subscribed, 0, 'the guard lowers what the broker is asked for')
  await at.second()
  at.say('t/1')
  at.end()
  const result = await collecting
  assert.ok('messages' in result)
  assert.equal(result.messages.length, 1)
  assert.deepEqual(at.withheld(), [])
})

test('what was withheld is on record also when the collect fails', async (t) => {
  const at = setUp(t)
  const wall = { id: 'wall', effect: 'deny', actions: ['receive'], topics: ['t/secret'] }
  const refusal = refusalOf(at.start(createIntegration({ policyId: at.policies.put([open, wall]) })))
  at.connect()
  await at.subscribed
  at.say('t/secret')
  at.say('t/secret')
  at.end()
  assert.equal((await refusal).code, 'broker.unreachable')
  assert.deepEqual(at.withheld(), [['denied', 'rule', 'wall', 2]])
  assert.deepEqual([at.rows.at(-1)?.action, at.rows.at(-1)?.outcome], ['proxy.subscribe.outcome', 'failure'])
})
