import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { refused, succeed } from '#test/support/api-server.ts'
import { patience } from '#test/support/patience.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant

before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

const OUTBOUND = '/api/v2/proxy/outbound'
const publish = (id: string, topic: string, more: object = {}, dryRun = false) =>
  plant.api.call('POST', OUTBOUND, {
    body: {
      integration_id: id,
      operation: 'publish',
      payload: { topic, message: '1', ...more },
      ...(dryRun && { dry_run: true }),
    },
  })
const documentOf = (...rules: object[]) => ({ schema: 'mqtt-policy/1', id: 'plant', rules })
const open = { id: 'open', effect: 'allow', topics: ['line/#'] }
const storePolicy = async (...rules: object[]) =>
  (await succeed(plant.api.call('POST', '/api/v2/policies', { body: { document: documentOf(...rules) } }), 201)) as {
    id: string
    version: number
  }

test('a policy decides in place of config.topics, and a change of it bites at once', async () => {
  const policy = await storePolicy(open)
  const { id } = await plant.integrate({ policy_id: policy.id, config: { topics: ['listed/#'] } })
  await succeed(publish(id, 'line/4'))
  const listed = await refused(publish(id, 'listed/x'), 403, 'policy.denied')
  assert.equal(listed.json.error.details.policy_id, policy.id)

  const wall = { id: 'wall', effect: 'deny', topics: ['line/#'] }
  const changedMs = performance.now()
  await succeed(
    plant.api.call('PATCH', `/api/v2/policies/${policy.id}`, {
      headers: { 'if-match': `"${policy.version}"` },
      body: { document: documentOf(open, wall) },
    }),
  )
  const denied = await refused(publish(id, 'line/4'), 403, 'policy.denied')
  assert.ok(performance.now() - changedMs < patience(5_000))
  assert.equal(denied.json.error.details.rule, 'wall')
  assert.equal(denied.json.error.details.policy_revision, 2)
})

test('a document whose own tests fail is not activated: the one before goes on deciding', async () => {
  const policy = await storePolicy(open)
  const { id } = await plant.integrate({ policy_id: policy.id })
  const tests = [{ as: { clientId: 'x' }, do: 'publish', topic: 'line/4', expect: 'allow' }]
  await refused(
    plant.api.call('PATCH', `/api/v2/policies/${policy.id}`, {
      headers: { 'if-match': `"${policy.version}"` },
      body: { document: { ...documentOf(), tests } },
    }),
    422,
    'policy.invalid',
  )
  await succeed(publish(id, 'line/4'))
})

test('a policy that integrations name cannot be deleted; set free, it can', async () => {
  const policy = await storePolicy(open)
  const { id, revision } = await plant.integrate({ policy_id: policy.id, config: { topics: ['line/#'] } })
  const remove = () =>
    plant.api.call('DELETE', `/api/v2/policies/${policy.id}`, { headers: { 'if-match': `"${policy.version}"` } })
  await refused(remove(), 409, 'object.in_use')
  await succeed(publish(id, 'line/4'))
  await succeed(
    plant.api.call('PATCH', `/api/v2/integrations/${id}`, {
      headers: { 'if-match': `"${revision}"` },
      body: { policy_id: null },
    }),
  )
  await succeed(remove())
  await succeed(publish(id, 'line/4'))
})

test('a rule may ask for scopes, role and organisation of the calling key', async () => {
  const policy = await storePolicy({
    id: 'owners',
    effect: 'allow',
    actions: ['publish'],
    topics: ['keys/${sub}/#'],
    when: {
      roles: ['owner'],
      scopes: ['proxy:publish'],
      type: ['service'],
      auth: ['apikey'],
      listener: ['http'],
      tls: false,
    },
  })
  const { id } = await plant.integrate({ policy_id: policy.id })
  const keys = await succeed(plant.api.call('GET', '/api/v2/security/api-keys'))
  const owner = keys.find(({ role }: { role: string }) => role === 'owner').id as string
  await succeed(publish(id, `keys/${owner}/x`))
  await refused(publish(id, 'other/x'), 403, 'policy.denied')
  const secret = (
    await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: 'e', role: 'editor' } }), 201)
  ).secret as string
  await refused(
    plant.api.call('POST', OUTBOUND, {
      key: secret,
      body: { integration_id: id, operation: 'publish', payload: { topic: `keys/${owner}/x`, message: '1' } },
    }),
    403,
    'policy.denied',
  )
})

test('a dry run shows the decision and its trace, under the envelope', async () => {
  const policy = await storePolicy({ ...open, maxQos: 0, qosMode: 'cap' })
  const { id } = await plant.integrate({
    policy_id: policy.id,
    guards: { inspection: { enabled: true, patterns: { sqli: true } } },
  })
  const reply = await publish(id, 'line/4', { qos: 1, message: "' OR 1=1--" }, true)
  const { data } = await openAnswer(plant.api, reply.json.data)
  const { allowed, qos, rule, guard, trace, policy_revision: revision } = data
  assert.deepEqual({ allowed, qos, rule, revision }, { allowed: false, qos: 0, rule: 'open', revision: 1 })
  assert.match(String(guard), /^inspection: /)
  assert.deepEqual(trace, ['allow open: applies, line/#'])
})

test('the guards of an integration refuse with the status of their kind', async () => {
  const { id } = await plant.integrate({
    config: { topics: ['#'] },
    guards: {
      'rate-limit': {
        enabled: true,
        'per-topic': [{ topic: 'slow/#', limit: { 'messages-per-second': 1, burst: 1 } }],
      },
      qos: { enabled: true, 'max-qos': 1, downgrade: false },
      retained: { enabled: true, 'allow-retained': false },
      inspection: { enabled: true, 'max-payload-size': 64, patterns: { 'path-traversal': true } },
    },
  })
  await succeed(publish(id, 'slow/x'))
  const slow = await refused(publish(id, 'slow/x'), 429, 'guard.refused')
  assert.equal(slow.headers.get('retry-after'), '1')
  await refused(publish(id, 'a', { qos: 2 }), 422, 'guard.refused')
  await refused(publish(id, 'a', { retain: true }), 422, 'guard.refused')
  await refused(publish(id, 'a', { message: 'x'.repeat(65) }), 413, 'guard.refused')
  const found = await refused(publish(id, 'a', { message: '../../etc/passwd' }), 403, 'guard.refused')
  assert.equal(found.json.error.details.class, 'path')
  assert.ok(!JSON.stringify(found.json).includes('passwd'))
})

test('guards that are wrong are refused with every place', async () => {
  const reply = await refused(
    plant.api.call('POST', '/api/v2/integrations', {
      body: {
        name: 'x',
        system_type: 'mqtt',
        credential_id: plant.credentialId,
        guards: {
          qos: { enabled: true, max_qos: 1 },
          inspection: { patterns: { 'custom-patterns': [{ name: 'x', pattern: '(' }] } },
        },
      },
    }),
    400,
    'request.invalid',
  )
  const text = JSON.stringify(reply.json.error)
  assert.match(text, /guards\.qos\.max_qos/)
  assert.match(text, /max-qos/)
  assert.match(text, /guards\.inspection\.patterns\.custom-patterns/)
})
