import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import type { Integration } from '#src/integrations/integration.ts'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

const open = { id: 'open', effect: 'allow', topics: ['t/#'] }

/** An integration whose broker keeps CONNACK, or with `hold: 'puback'` acknowledgements, until `letGo`. */
async function setUp(hold: 'connack' | 'puback' = 'connack', config: object = {}) {
  let passedMs = 0
  const held: (() => void)[] = []
  const connack = { cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 } as const
  const broker = await startFakeBroker({
    misbehave:
      hold === 'connack'
        ? { connect: (_packet, connection: FakeConnection) => void held.push(() => connection.send(connack)) }
        : { publish: ({ messageId = 0 }, c) => void held.push(() => c.send({ cmd: 'puback', messageId })) },
  })
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + passedMs }
  const messaging = createMessaging({ clock })
  const { policies, integrations, vault } = messaging
  const policyId = policies.put([open])
  const integration = createIntegration({ policyId, config: { topics: ['listed/#'], ...config } })
  vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  let lookups = 0
  const { find } = integrations
  integrations.find = (...args) => {
    lookups++
    return find(...args)
  }
  return {
    broker,
    messaging,
    integration,
    policyId,
    lookups: () => lookups,
    pass: (ms: number) => (passedMs += ms),
    /** Resolves when the broker keeps so many packets. */
    holding: (count: number) => until(() => held.length >= count),
    letGo() {
      for (const send of held.splice(0)) send()
    },
    outcome() {
      const row = messaging.audit.rows.at(-1)
      assert.equal(row?.action, 'proxy.publish.outcome')
      return row
    },
    async [Symbol.asyncDispose]() {
      await messaging[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}
type SetUp = Awaited<ReturnType<typeof setUp>>

const changes: readonly { what: string; code: string; outcome: string; change(at: SetUp): void }[] = [
  {
    what: 'its policy is deleted',
    code: 'policy.denied',
    outcome: 'denied',
    change: ({ messaging, policyId }) => void messaging.policies.remove(policyId),
  },
  {
    what: 'its policy denies it',
    code: 'policy.denied',
    outcome: 'denied',
    change: ({ messaging, policyId }) =>
      void messaging.policies.put([{ ...open, effect: 'deny', id: 'wall' }], { id: policyId }),
  },
  {
    what: 'its policy allows a lower QoS only',
    code: 'policy.denied',
    outcome: 'denied',
    change: ({ messaging, policyId }) =>
      void messaging.policies.put([{ ...open, maxQos: 0, qosMode: 'cap' }], { id: policyId }),
  },
  {
    what: 'its policy strips the retain flag',
    code: 'policy.denied',
    outcome: 'denied',
    change: ({ messaging, policyId }) => void messaging.policies.put([{ ...open, retain: 'strip' }], { id: policyId }),
  },
  {
    what: 'allowed_operations is emptied',
    code: 'operation.not_allowed',
    outcome: 'denied',
    change: ({ messaging, integration }) =>
      messaging.integrations.put({ ...integration, allowedOperations: new Set() } satisfies Integration),
  },
  {
    what: 'policy_id is taken away, and config.topics does not allow it',
    code: 'policy.denied',
    outcome: 'denied',
    change: ({ messaging, integration }) => messaging.integrations.put({ ...integration, policyId: null }),
  },
  {
    what: 'the integration is deleted',
    code: 'object.not_found',
    outcome: 'failure',
    change: ({ messaging, integration }) => messaging.integrations.remove(integration),
  },
  {
    what: 'the database falls silent',
    code: 'database.unavailable',
    outcome: 'failure',
    change({ messaging }) {
      messaging.integrations.find = () => Promise.reject(new AppError('database.unavailable', 'Silent.'))
    },
  },
]

for (const { what, code, outcome, change } of changes) {
  test(`while a message waits for its connection, ${what}: it is not sent, and the row says so`, async () => {
    await using at = await setUp()
    const refusal = refusalOf(at.messaging.send(at.integration, { topic: 't/x', qos: 1, retain: true }))
    await at.holding(1)
    change(at)
    at.pass(1_100)
    at.letGo()
    assert.equal((await refusal).code, code)
    assert.deepEqual([at.outcome().outcome, at.outcome().detail?.['code']], [outcome, code])
    assert.deepEqual(at.broker.packetsOf('publish'), [])
    assert.equal(at.messaging.pool.stats().inFlight, 0)
  })
}

test('what is still allowed after a wait is sent, and its row names the revision that allowed it then', async () => {
  await using at = await setUp()
  const sending = at.messaging.send(at.integration, { topic: 't/x' })
  await at.holding(1)
  at.messaging.policies.put([{ ...open, id: 'wider', topics: ['#'] }], { id: at.policyId })
  at.pass(1_100)
  at.letGo()
  assert.equal((await sending).outcome, 'acknowledged')
  const { rule, policy_revision } = at.outcome().detail ?? {}
  assert.deepEqual([rule, policy_revision], ['wider', 2])
  assert.equal(at.lookups(), 1)
})

test('a message that did not wait is asked for once: nothing is looked up again', async () => {
  await using at = await setUp()
  const first = at.messaging.send(at.integration, { topic: 't/x' })
  await at.holding(1)
  at.letGo()
  await first
  for (let i = 0; i < 20; i++) await at.messaging.send(at.integration, { topic: 't/x' })
  assert.equal(at.lookups(), 0)
  assert.equal(at.outcome().detail?.['policy_revision'], undefined)
})

test('a place in the window is a wait as well, and comes free when the message is refused', async () => {
  await using at = await setUp('puback', { limits: { max_in_flight: 1 } })
  const send = () => at.messaging.send(at.integration, { topic: 't/x', qos: 1 })
  const first = send()
  await at.holding(1)
  const second = refusalOf(send())
  await new Promise(setImmediate)
  at.messaging.policies.put([{ ...open, topics: ['u/#'] }], { id: at.policyId })
  at.pass(1_100)
  at.letGo()
  assert.equal((await first).outcome, 'acknowledged')
  assert.equal((await second).code, 'policy.denied')
  at.messaging.policies.put([open], { id: at.policyId })
  const third = send()
  await at.holding(1)
  at.letGo()
  assert.equal((await third).outcome, 'acknowledged')
  assert.equal(at.broker.packetsOf('publish').length, 2)
})

test('a question without an answer ends with the deadline: nothing was sent, and that is what is said', async () => {
  await using at = await setUp()
  const deadlineMs = at.messaging.clock.monotonic() + 1_500
  const refusal = refusalOf(at.messaging.send(at.integration, { topic: 't/x', deadlineMs }))
  await at.holding(1)
  at.messaging.integrations.find = () => new Promise(() => {})
  at.pass(1_400)
  at.letGo()
  assert.equal((await refusal).code, 'database.unavailable')
  assert.deepEqual(at.broker.packetsOf('publish'), [])
})

test('a question without an answer ends after 4 s, however late the deadline: an older permission is none', async (t) => {
  await using at = await setUp()
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const deadlineMs = at.messaging.clock.monotonic() + 30_000
  let settled = false
  const refusal = refusalOf(at.messaging.send(at.integration, { topic: 't/x', deadlineMs })).finally(() => {
    settled = true
  })
  await at.holding(1)
  let isAsked = false
  at.messaging.integrations.find = () => {
    isAsked = true
    return new Promise(() => {})
  }
  at.pass(1_100)
  at.letGo()
  await until(() => isAsked)
  t.mock.timers.tick(3_900)
  await new Promise(setImmediate)
  assert.equal(settled, false)
  t.mock.timers.tick(100)
  assert.equal((await refusal).code, 'database.unavailable')
  t.mock.timers.reset()
  assert.deepEqual(at.broker.packetsOf('publish'), [])
})
