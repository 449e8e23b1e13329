import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging, refusalOf, until, type Values } from './harness.ts'

let broker: Mosquitto
before(async () => {
  broker = await startMosquitto({ users: { alice: 'right', bob: 'right too' } })
})
after(() => broker.stop())

const loginOf = (password: string, username = 'alice'): Values => ({
  hostname: '127.0.0.1',
  port: String(broker.ports.tcp),
  username,
  password,
})

const refusals = [
  { version: 4, code: 5, reason: 'Not authorized' },
  { version: 5, code: 0x87, reason: 'Not authorized' },
] as const
for (const { version, code, reason } of refusals) {
  test(`MQTT ${version}: a wrong password is broker.rejected with the reason; the rotated one works at once`, async () => {
    await using messaging = createMessaging()
    const integration = createIntegration({ config: { topics: ['#'], protocol_version: version } })
    messaging.vault.put(integration.credentialId, loginOf('wrong'))
    const err = await refusalOf(messaging.send(integration, { topic: 'a' }))
    assert.equal(err.code, 'broker.rejected')
    assert.deepEqual(err.details, { reason_code: code, reason })

    messaging.vault.put(integration.credentialId, loginOf('right'))
    assert.equal((await messaging.send(integration, { topic: 'a' })).outcome, 'acknowledged')
  })
}

test('a refused credential is not shown to the broker again within a minute; a connection test asks at once', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration()
  messaging.vault.put(integration.credentialId, loginOf('wrong'))
  for (let i = 0; i < 5; i++) {
    const err = await refusalOf(messaging.send(integration, { topic: 'a' }))
    assert.equal(err.code, 'broker.rejected')
    if (i > 0) assert.ok((err.retryAfterS ?? 0) > 50)
  }
  assert.equal(messaging.vault.opens, 1)
  assert.equal((await refusalOf(messaging.test(integration))).code, 'broker.rejected')
  assert.equal(messaging.vault.opens, 2)
})

test('a password that was refused is shown no more by any integration that uses it; a rotated one is, at once', async () => {
  let refuse = true
  const fake = await startFakeBroker({
    misbehave: {
      connect: (_, c) => {
        const code = refuse ? 0x86 : 0
        c.send({ cmd: 'connack', sessionPresent: false, returnCode: code, reasonCode: code })
      },
    },
  })
  try {
    await using messaging = createMessaging()
    const first = createIntegration()
    const { tenantId, credentialId } = first
    const second = createIntegration({ tenantId, credentialId })
    const login = { hostname: '127.0.0.1', port: fake.port, username: 'u' }
    messaging.vault.put(credentialId, { ...login, password: 'wrong' })
    for (const integration of [first, second, second]) {
      const err = await refusalOf(messaging.send(integration, { topic: 'a' }))
      assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', 0x86])
    }
    assert.equal(fake.packetsOf('connect').length, 1)
    refuse = false
    messaging.vault.put(credentialId, { ...login, password: 'right' })
    assert.equal((await messaging.send(second, { topic: 'a' })).outcome, 'acknowledged')
  } finally {
    await fake.stop()
  }
})

test('a rotation with traffic loses nothing: the new version connects anew, the old connection ends', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration()
  messaging.vault.put(integration.credentialId, loginOf('right'))
  await messaging.send(integration, { topic: 'a' })
  const running = Array.from({ length: 50 }, () => messaging.send(integration, { topic: 'a' }))
  messaging.vault.put(integration.credentialId, loginOf('right too', 'bob'))
  const later = Array.from({ length: 50 }, () => messaging.send(integration, { topic: 'a' }))
  const outcomes = await Promise.all([...running, ...later])
  assert.ok(outcomes.every(({ outcome }) => outcome === 'acknowledged'))
  await broker.logged("u'alice'")
  await broker.logged("u'bob'")
  await until(() => messaging.pool.stats().connections === 1)
  assert.equal(messaging.pool.stats().draining, 0)
})

test('V13: the old password is not used after a rotation, and retire ends its idle connection', async () => {
  const fake = await startFakeBroker()
  try {
    await using messaging = createMessaging()
    const integration = createIntegration()
    const values = { hostname: '127.0.0.1', port: fake.port, username: 'u' }
    messaging.vault.put(integration.credentialId, { ...values, password: 'old' })
    await messaging.send(integration, { topic: 'a' })
    messaging.vault.put(integration.credentialId, { ...values, password: 'new' })
    messaging.pool.retire(integration.tenantId, integration.credentialId)
    await fake.received('disconnect')
    await messaging.send(integration, { topic: 'a' })
    assert.deepEqual(
      fake.packetsOf('connect').map(({ password }) => String(password)),
      ['old', 'new'],
    )
  } finally {
    await fake.stop()
  }
})

test('an expired credential is refused, the same one with time left is not', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration()
  messaging.vault.put(integration.credentialId, loginOf('right'), new Date(Date.now() - 1))
  assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'credential.expired')
  messaging.vault.put(integration.credentialId, loginOf('right'), new Date(Date.now() + 60_000))
  assert.equal((await messaging.send(integration, { topic: 'a' })).outcome, 'acknowledged')
})

test('a credential that is gone stops an integration whose connection is open', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration()
  messaging.vault.put(integration.credentialId, loginOf('right'))
  await messaging.send(integration, { topic: 'a' })
  messaging.vault.remove(integration.credentialId)
  assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'integration.invalid')
})

const unusable: readonly { values: Values; member: string }[] = [
  { values: { username: 7 }, member: 'username' },
  { values: { username: 'a\u0000' }, member: 'username' },
  { values: { username: 'u', password: ['p'] }, member: 'password' },
  { values: { username: 'u', password: 'p'.repeat(65_536) }, member: 'password' },
  { values: { password: 'canary' }, member: 'username' },
  { values: { client_cert: 'canary' }, member: 'client_key' },
  { values: { client_key: 'canary' }, member: 'client_key' },
]
for (const { values, member } of unusable) {
  test(`a credential with an unusable ${member} is refused by name, not by value`, async () => {
    await using messaging = createMessaging()
    const integration = createIntegration()
    messaging.vault.put(integration.credentialId, {
      ...loginOf('right'),
      username: undefined,
      password: undefined,
      ...values,
    })
    const err = await refusalOf(messaging.send(integration, { topic: 'a' }))
    assert.equal(err.code, 'integration.invalid')
    assert.equal(err.details?.['member'], member)
    assert.ok(!err.message.includes('canary'))
  })
}

test('A20, A22: host and port of the credential are judged at publish and at the connection test', async () => {
  await using messaging = createMessaging({ allow: [] })
  const cases = [
    { hostname: '169.254.169.254', port: 1883, code: 'destination.not_allowed' },
    { hostname: '127.0.0.1', port: broker.ports.tcp, code: 'destination.not_allowed' },
    { hostname: 'https://example.com', port: 1883, code: 'request.invalid' },
    { hostname: 'broker.example', port: 5432, code: 'destination.not_allowed' },
    { hostname: 'broker.example', port: '1883 ', code: 'request.invalid' },
    { hostname: undefined, port: 1883, code: 'request.invalid' },
  ]
  for (const { code, ...values } of cases) {
    const integration = createIntegration()
    messaging.vault.put(integration.credentialId, values)
    assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, code)
    const err = await refusalOf(messaging.test(integration))
    assert.equal(err.code, code)
    if (code === 'destination.not_allowed') assert.match(err.message, /OUTBOUND_ALLOW|^port: /)
  }
})

test("the broker's ACL: MQTT 5 hears the refusal; MQTT 3.1.1 cannot, and its acknowledgement is passed on as it is", async () => {
  const guarded = await startMosquitto({ users: { alice: 'pw' }, acl: 'user alice\ntopic readwrite mine/#\n' })
  try {
    for (const version of [4, 5] as const) {
      await using messaging = createMessaging()
      const integration = createIntegration({ config: { topics: ['#'], protocol_version: version } })
      const login = { hostname: '127.0.0.1', port: guarded.ports.tcp, username: 'alice', password: 'pw' }
      messaging.vault.put(integration.credentialId, login)
      assert.equal((await messaging.send(integration, { topic: 'mine/x' })).outcome, 'acknowledged')
      const denied = messaging.send(integration, { topic: 'theirs/x' })
      if (version === 4) assert.equal((await denied).outcome, 'acknowledged')
      else {
        const err = await refusalOf(denied)
        assert.deepEqual([err.code, err.details], ['broker.rejected', { reason_code: 0x87, reason: 'Not authorized' }])
      }
      assert.equal((await messaging.send(integration, { topic: 'mine/y' })).outcome, 'acknowledged', 'the link lives')
    }
  } finally {
    await guarded.stop()
  }
})

test('a connection test needs no allowed operation, is on record, and says what the broker grants', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration({ allowedOperations: [] })
  messaging.vault.put(integration.credentialId, loginOf('right'))
  const { limits, latency } = await messaging.test(integration)
  assert.deepEqual([limits.receive_maximum, limits.maximum_qos, limits.retain_available], [20, 2, true])
  assert.ok(latency.dial_ms >= 0 && latency.connack_ms > 0)
  messaging.vault.put(integration.credentialId, loginOf('wrong'))
  assert.equal((await refusalOf(messaging.test(integration))).code, 'broker.rejected')
  assert.deepEqual(messaging.audit.actions(), ['integrations.test success', 'integrations.test failure'])
})
