import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Audit } from '#src/audit/audit.ts'
import { utf8 } from '#src/core/bytes.ts'
import { type Clock, systemClock } from '#src/core/clock.ts'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import type { Integration, Operation } from '#src/integrations/integration.ts'
import { RememberedFailure } from '#src/messaging/connect-gate.ts'
import type { LateOutcome } from '#src/messaging/late-outcomes.ts'
import type { Pool } from '#src/messaging/pool.ts'
import { createPublish, type PublishCommand } from '#src/messaging/publish.ts'
import { createCollect } from '#src/messaging/subscribe.ts'
import type { PublishOutcome } from '#src/messaging/write-message.ts'
import { patience } from '#test/support/patience.ts'
import {
  callerOf,
  createIntegration,
  createJudges,
  createMemoryAudit,
  createMemoryIntegrations,
  createMemoryPolicies,
  identityOf,
  onRecord,
  refusalOf,
} from './harness.ts'

const acknowledged: PublishOutcome = { delivery: { state: 'acknowledged', reasonCode: 0 }, sentAtMs: 0 }

interface Faults {
  admit?: AppError
  hopeless?: AppError
  pool?: AppError
  delivery?: PublishOutcome['delivery']
  audit?: { failOn?: string; hangOn?: string }
}

/** Publish on parts that note when they are called. */
function createTraced(faults: Faults = {}, policies = createMemoryPolicies()) {
  const steps: string[] = []
  const memory = createMemoryAudit()
  Object.assign(memory.broken, faults.audit)
  const audit: Audit = {
    record(...events) {
      steps.push(...events.map(({ action, outcome }) => `${action.replace('proxy.publish.', '')} ${outcome}`))
      return memory.audit.record(...events)
    },
  }
  const pool: Pick<Pool, 'publish' | 'assertHopeful'> = {
    async assertHopeful() {
      if (!faults.hopeless) return
      steps.push('hopeless')
      throw faults.hopeless
    },
    publish() {
      steps.push('pool')
      if (faults.pool) return Promise.reject(faults.pool)
      return Promise.resolve({ ...acknowledged, ...(faults.delivery && { delivery: faults.delivery }) })
    },
  }
  const { accessOf, guardsOf } = createJudges(systemClock, policies)
  const integrations = createMemoryIntegrations()
  const late: LateOutcome[] = []
  const onLate = (one: LateOutcome) => void late.push(one)
  const countRefused = (_caller: unknown, code: string) => void steps.push(`counted ${code}`)
  const parts = { pool, countRefused, integrations, accessOf, guardsOf, audit, clock: systemClock, onLate }
  const publish = onRecord(createPublish(parts))
  const admit = () => {
    steps.push('admit')
    if (faults.admit) throw faults.admit
  }
  return {
    steps,
    late,
    rows: memory.rows,
    publish: (integration: Integration, { caller = callerOf(integration), ...given }: Partial<PublishCommand> = {}) =>
      publish({
        caller,
        identity: identityOf(caller),
        integration,
        messageId: newId('msg'),
        payload: utf8('x'),
        topic: 'a',
        deadlineMs: systemClock.monotonic() + 1_000,
        admit,
        ...given,
      }),
  }
}

const allowed = createIntegration({ config: { topics: ['a'] } })

test('publish goes: admission, intent on record, pool, outcome on record', async () => {
  const traced = createTraced()
  await traced.publish(allowed)
  assert.deepEqual(traced.steps, ['admit', 'intent success', 'pool', 'outcome success'])
})

const refusals: readonly { why: string; integration: Integration; given?: Partial<PublishCommand>; code: ErrorCode }[] =
  [
    {
      why: 'operation before topic',
      integration: createIntegration({ allowedOperations: ['subscribe'] }),
      given: { topic: '#' },
      code: 'operation.not_allowed',
    },
    {
      why: 'topic before allow list',
      integration: createIntegration({ config: {} }),
      given: { topic: '#' },
      code: 'request.invalid',
    },
    {
      why: 'no topic anywhere',
      integration: createIntegration(),
      given: { topic: undefined },
      code: 'request.invalid',
    },
    {
      why: 'payload over the limit',
      integration: createIntegration({ config: { topics: ['a'], limits: { max_payload_bytes: 1 } } }),
      given: { payload: utf8('xx') },
      code: 'request.too_large',
    },
    { why: 'empty allow list', integration: createIntegration({ config: {} }), code: 'policy.denied' },
    { why: 'topic not on the list', integration: allowed, given: { topic: 'b' }, code: 'policy.denied' },
    { why: 'the list is not a prefix', integration: allowed, given: { topic: 'a/b' }, code: 'policy.denied' },
    {
      why: '$ names need their own entry',
      integration: createIntegration(),
      given: { topic: '$SYS/x' },
      code: 'policy.denied',
    },
  ]
for (const { why, integration, given, code } of refusals) {
  test(`${code} comes before admission, record and pool: ${why}`, async () => {
    const traced = createTraced()
    const err = await refusalOf(traced.publish(integration, given))
    assert.equal(err.code, code)
    assert.deepEqual(traced.steps, [])
  })
}

test('what the breaker remembers is answered after admission, and is counted instead of an intent and an outcome', async () => {
  const traced = createTraced({ hopeless: new RememberedFailure('broker.unreachable', 'Gone.') })
  assert.equal((await refusalOf(traced.publish(allowed))).code, 'broker.unreachable')
  assert.deepEqual(traced.steps, ['admit', 'hopeless', 'counted broker.unreachable'])
  const dry = createTraced({ hopeless: new RememberedFailure('broker.unreachable', 'Gone.') })
  await dry.publish(allowed, { dryRun: true })
  assert.deepEqual(dry.steps, ['admit', 'intent success', 'outcome success'], 'a dry run asks no broker')
})

test('default deny: absent, empty and other operations refuse, the word itself allows', async () => {
  const sets: readonly { operations: readonly string[]; ok: boolean }[] = [
    { operations: [], ok: false },
    { operations: ['subscribe'], ok: false },
    { operations: ['Publish', 'PUBLISH', '*', 'publish '], ok: false },
    { operations: ['publish'], ok: true },
    { operations: ['publish', 'subscribe'], ok: true },
  ]
  for (const { operations, ok } of sets) {
    const integration = createIntegration({ allowedOperations: operations as Operation[], config: { topics: ['a'] } })
    if (ok) await createTraced().publish(integration)
    else {
      const err = await refusalOf(createTraced().publish(integration))
      assert.equal(err.code, 'operation.not_allowed')
      assert.deepEqual(err.details, { operation: 'publish', allowed_operations: operations })
    }
  }
})

test('config.topic is the default topic and an entry of the allow list; the refusal says what to set', async () => {
  const integration = createIntegration({ config: { topic: 'only', topics: ['more/#'] } })
  for (const topic of [undefined, 'only', 'more/x']) {
    const result = await createTraced().publish(integration, { topic })
    assert.ok('outcome' in result)
    assert.equal(result.topic, topic ?? 'only')
  }
  const err = await refusalOf(createTraced().publish(createIntegration({ config: {} })))
  assert.match(err.message, /config\.topic or config\.topics/)
})

test('a full signer sends nothing and records no intent', async () => {
  const traced = createTraced({ admit: new AppError('signer.busy', 'Busy.') })
  assert.equal((await refusalOf(traced.publish(allowed))).code, 'signer.busy')
  assert.deepEqual(traced.steps, ['admit'])
})

test('an intent that cannot be recorded, or hangs, sends nothing', async () => {
  for (const audit of [{ failOn: 'proxy.publish.intent' }, { hangOn: 'proxy.publish.intent' }]) {
    const traced = createTraced({ audit })
    const err = await refusalOf(traced.publish(allowed, { deadlineMs: systemClock.monotonic() + 100 }))
    assert.equal(err.code, 'audit.unavailable')
    assert.deepEqual(traced.steps, ['admit', 'intent success'])
  }
})

test('when the connection fails, the outcome row says failure with the code and the reason', async () => {
  const rejected = new AppError('broker.rejected', 'No.', { details: { reason_code: 0x87, reason: 'Not authorized' } })
  const traced = createTraced({ pool: rejected })
  assert.equal((await refusalOf(traced.publish(allowed))).code, 'broker.rejected')
  const { detail, outcome, object } = traced.rows.at(-1) ?? {}
  assert.equal(outcome, 'failure')
  assert.deepEqual(object, { kind: 'integration', id: allowed.id })
  assert.deepEqual(
    [detail?.['code'], detail?.['reason_code'], detail?.['reason']],
    ['broker.rejected', 0x87, 'Not authorized'],
  )
})

const lostRows: readonly { why: string; faults: Faults; code: ErrorCode }[] = [
  { why: 'acknowledged, but no row: the message is out, so it is unknown', faults: {}, code: 'outcome.unknown' },
  { why: 'unknown stays unknown', faults: { delivery: { state: 'unknown' } }, code: 'outcome.unknown' },
  {
    why: 'refused by the broker: nothing was delivered',
    faults: { delivery: { state: 'refused', reasonCode: 0x87 } },
    code: 'audit.unavailable',
  },
  {
    why: 'not connected: nothing was sent',
    faults: { pool: new AppError('broker.unreachable', 'Gone.') },
    code: 'audit.unavailable',
  },
]
for (const { why, faults, code } of lostRows) {
  test(`an outcome row that fails or hangs: ${why}`, async () => {
    for (const audit of [{ failOn: 'proxy.publish.outcome' }, { hangOn: 'proxy.publish.outcome' }]) {
      const deadlineMs = systemClock.monotonic() + 50
      const traced = createTraced({ ...faults, audit })
      const err = await refusalOf(traced.publish(allowed, { deadlineMs }))
      assert.equal(err.code, code)
      assert.ok(systemClock.monotonic() < deadlineMs + patience(450))
      const told = traced.late.map(({ delivery, messageId }) => [delivery.state, messageId])
      const isAcknowledged = !faults.pool && !faults.delivery
      assert.deepEqual(
        told,
        isAcknowledged ? [['acknowledged', err.details?.['message_id']]] : [],
        'once there is a record again',
      )
    }
  })
}

test('rows hold no payload, and no more than 256 characters of the topic', async () => {
  const topic = `a/${'x'.repeat(600)}`
  const traced = createTraced()
  await traced.publish(createIntegration(), { topic, payload: utf8('canary-payload') })
  assert.equal(traced.rows.length, 2)
  for (const row of traced.rows) {
    assert.ok(!JSON.stringify(row).includes('canary-payload'))
    assert.equal(String(row.detail?.['topic']).length, 256)
    assert.equal(row.detail?.['payload_bytes'], 14)
  }
})

test('an intent says how long it may stay open, what its caller left of the deadline, and that it is a dry run', async () => {
  const clock: Clock = { now: systemClock.now, monotonic: () => 1_000.4 }
  const { audit, rows } = createMemoryAudit()
  const [messageId, integration] = [newId('msg'), createIntegration({ config: { topics: ['a'] } })]
  const caller = callerOf(integration)
  const about = { caller, identity: identityOf(caller), integration }
  const common = { ...about, topic: 'a', deadlineMs: 121_000, admit: () => undefined }
  const { policies: _, ...judged } = createJudges(clock)
  const judges = { integrations: createMemoryIntegrations(), ...judged }
  const assertHopeful = () => Promise.resolve()
  const countRefused = () => assert.fail()
  const pool = { assertHopeful, publish: () => Promise.resolve(acknowledged) }
  const publish = onRecord(createPublish({ pool, countRefused, ...judges, audit, clock }))
  await publish({ ...common, messageId, payload: utf8('x') })
  await publish({ ...common, messageId, payload: utf8('x'), dryRun: true })
  const collector = () => assert.fail()
  await createCollect({ pool: { assertHopeful, collector }, countRefused, ...judges, audit, clock })({
    ...common,
    dryRun: true,
  })
  assert.deepEqual(
    rows.map(({ action, detail }) => [action, detail?.['deadline_ms'], detail?.['dry_run']]),
    [
      ['proxy.publish.intent', 120_000, undefined],
      ['proxy.publish.outcome', undefined, undefined],
      ['proxy.publish.intent', 120_000, true],
      ['proxy.publish.outcome', undefined, undefined],
      ['proxy.subscribe.intent', 120_000, true],
      ['proxy.subscribe.outcome', undefined, undefined],
    ],
  )
})

test('a dry run makes every check, answers the decision with its trace, and sends nothing', async () => {
  const yes = createTraced()
  assert.deepEqual(await yes.publish(allowed, { dryRun: true }), {
    dry_run: true,
    allowed: true,
    operation: 'publish',
    topic: 'a',
    qos: 1,
    retain: false,
    reason: 'a filter of config.topic and config.topics covers it',
    rule: null,
    policy_id: null,
    policy_revision: null,
    guard: null,
    trace: ['a: covers it'],
  })
  assert.deepEqual(yes.steps, ['admit', 'intent success', 'outcome success'])

  const no = createTraced()
  const answer = await no.publish(allowed, { dryRun: true, topic: 'b' })
  assert.ok('dry_run' in answer && !answer.allowed)
  assert.ok(!no.steps.includes('pool'))
  assert.equal((await refusalOf(createTraced().publish(allowed, { dryRun: true, topic: '#' }))).code, 'request.invalid')
})

test('collect keeps the same order, and refuses a filter that the allow list does not cover', async () => {
  const steps: string[] = []
  const { audit } = createMemoryAudit()
  const { accessOf, guardsOf } = createJudges()
  const collect = createCollect({
    integrations: createMemoryIntegrations(),
    accessOf,
    guardsOf,
    audit: {
      record(...events) {
        steps.push(...events.map(({ action }) => action))
        return audit.record(...events)
      },
    },
    countRefused: () => assert.fail(),
    pool: {
      async assertHopeful() {
        steps.push('hopeful')
      },
      collector() {
        steps.push('pool')
        return Promise.reject(new AppError('broker.unreachable', 'Gone.'))
      },
    },
    clock: systemClock,
  })
  const codeOf = async (integration: Integration, topic: string | undefined) => {
    const caller = callerOf(integration)
    const about = { caller, identity: identityOf(caller), integration }
    const command = { ...about, topic, deadlineMs: systemClock.monotonic() + 500 }
    return (await refusalOf(collect({ ...command, admit: () => void steps.push('admit') }))).code
  }
  const integration = createIntegration({ config: { topics: ['a/+'] } })
  assert.equal(await codeOf(createIntegration({ allowedOperations: ['publish'] }), 'a/b'), 'operation.not_allowed')
  assert.equal(await codeOf(integration, 'a/#/b'), 'request.invalid')
  assert.equal(await codeOf(integration, undefined), 'request.invalid')
  for (const filter of ['a/#', '#', 'a', '+/b', '$share/g/a/#'])
    assert.equal(await codeOf(integration, filter), 'policy.denied')
  assert.equal(steps.length, 0)
  assert.equal(await codeOf(integration, 'a/+'), 'broker.unreachable')
  assert.deepEqual(steps, ['admit', 'hopeful', 'proxy.subscribe.intent', 'pool', 'proxy.subscribe.outcome'])

  steps.splice(0)
  const caller = callerOf(integration)
  const about = { caller, identity: identityOf(caller), integration }
  const dry = { ...about, topic: 'a/#', deadlineMs: systemClock.monotonic() + 500 }
  const answer = await collect({ ...dry, dryRun: true, admit: () => void steps.push('admit') })
  assert.deepEqual(answer, {
    dry_run: true,
    allowed: false,
    operation: 'subscribe',
    topic: 'a/#',
    qos: 1,
    retain: false,
    reason: 'no filter of config.topic and config.topics covers it',
    rule: null,
    policy_id: null,
    policy_revision: null,
    guard: null,
    trace: ['a/+: does not cover it'],
  })
  assert.deepEqual(steps, ['admit', 'proxy.subscribe.intent', 'proxy.subscribe.outcome'])
})
