import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { IPublishPacket } from 'mqtt-packet'
import type { Integration } from '#src/integrations/integration.ts'
import { type FakeBroker, type FakeConnection, type Misbehaviour, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

const REPLY_PREFIX = 'replies'
const CONFIG = { topics: ['ask/#', `${REPLY_PREFIX}/#`], reply_prefix: REPLY_PREFIX }

/** An answer to a request, sent to whoever subscribed to its response topic; `null` for none. */
type Answer = Partial<IPublishPacket> | null

/** A broker with a responder behind it: `answer` says what is sent for a request, before or after its PUBACK. */
async function startResponder(
  t: TestContext,
  answer: (request: IPublishPacket) => Answer | readonly Answer[],
  misbehave: Misbehaviour = {},
) {
  const subscribers = new Map<string, Set<FakeConnection>>()
  const broker: FakeBroker = await startFakeBroker({
    misbehave: {
      subscribe(packet, connection) {
        for (const { topic } of packet.subscriptions) {
          const known = subscribers.get(topic) ?? new Set()
          subscribers.set(topic, known.add(connection))
        }
        connection.send({
          cmd: 'suback',
          messageId: packet.messageId ?? 0,
          granted: packet.subscriptions.map(({ qos }) => qos),
        })
      },
      unsubscribe(packet, connection) {
        for (const topic of packet.unsubscriptions) subscribers.get(topic)?.delete(connection)
        connection.send({
          cmd: 'unsuback',
          messageId: packet.messageId ?? 0,
          granted: packet.unsubscriptions.map(() => 0),
        })
      },
      publish(packet, connection) {
        const answers = [answer(packet)].flat()
        if (packet.qos === 1) connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
        for (const one of answers) {
          if (one === null) continue
          const asked = packet.properties?.responseTopic ?? ''
          const topic = one.topic ?? asked
          const reply = { cmd: 'publish', payload: 'pong', qos: 0, dup: false, retain: false, ...one, topic } as const
          for (const subscriber of subscribers.get(asked) ?? []) subscriber.send(reply)
        }
      },
      ...misbehave,
    },
  })
  t.after(() => broker.stop())
  return { broker, subscribers }
}

const echo = ({ properties, payload }: IPublishPacket): Answer => ({
  payload,
  properties: { correlationData: properties?.correlationData as Buffer },
})

/** Messaging with one integration at that broker. */
function setUp(broker: FakeBroker, config: object = CONFIG, members: Parameters<typeof createIntegration>[0] = {}) {
  const messaging = createMessaging()
  const integration: Integration = createIntegration({ config, ...members })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  return { messaging, integration }
}

describe('a request', () => {
  test('subscribes, publishes with response topic and correlation data, and answers with the reply; both are on record', async (t) => {
    const { broker, subscribers } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const result = await messaging.ask(integration, { topic: 'ask/1', text: 'ping', qos: 1 })
    assert.equal(result.outcome, 'acknowledged')
    assert.equal(result.reply?.message, 'ping')
    assert.equal(result.no_reply, undefined)
    assert.match(result.response_topic, /^replies\/key_[0-9a-z]{26}\/[0-9a-f]{32}$/)
    assert.equal(Buffer.from(result.correlation_data, 'base64').length, 16)
    const [sent] = broker.packetsOf('publish')
    assert.equal(sent?.properties?.responseTopic, result.response_topic)
    assert.equal(sent?.properties?.correlationData?.toString('base64'), result.correlation_data)
    assert.equal(sent?.retain, false)
    const order = broker.packets.map(({ cmd }) => cmd).filter((cmd) => cmd === 'subscribe' || cmd === 'publish')
    assert.deepEqual(order, ['subscribe', 'publish'])
    assert.deepEqual(messaging.audit.actions(), [
      'proxy.publish.intent success',
      'proxy.subscribe.intent success',
      'proxy.publish.outcome success',
      'proxy.subscribe.outcome success',
    ])
    const [intent, , , outcome] = messaging.audit.rows
    assert.equal(intent?.detail?.['response_topic'], result.response_topic)
    assert.equal(outcome?.detail?.['messages'], 1)
    assert.equal(outcome?.detail?.['bytes'], 4)
    await until(() => subscribers.get(result.response_topic)?.size === 0)
  })

  test('fifty at once: each gets its own reply, over two connections', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const asked = Array.from({ length: 50 }, (_, i) =>
      messaging.ask(integration, { topic: 'ask/n', text: `ping ${i}`, qos: 1 }),
    )
    const results = await Promise.all(asked)
    assert.deepEqual(
      results.map(({ reply }) => reply?.message),
      results.map((_, i) => `ping ${i}`),
    )
    assert.equal(new Set(results.map(({ response_topic }) => response_topic)).size, 50)
    assert.equal(broker.connections.length, 2)
  })

  test('fifty at once on one response topic: the correlation data tells the replies apart, over two connections', async (t) => {
    const held: (() => void)[] = []
    const { broker, subscribers } = await startResponder(t, () => null, {
      publish(packet, connection) {
        connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
        const topic = packet.properties?.responseTopic ?? ''
        const reply = { cmd: 'publish', qos: 0, dup: false, retain: false, ...echo(packet), topic } as IPublishPacket
        held.unshift(() => {
          for (const subscriber of subscribers.get(topic) ?? []) subscriber.send(reply)
        })
        if (held.length === 50) for (const send of held) send() // the last request is answered first
      },
    })
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const properties = { responseTopic: 'replies/shared' }
    const asked = Array.from({ length: 50 }, (_, i) =>
      messaging.ask(integration, { topic: 'ask/n', text: `ping ${i}`, qos: 1, properties }),
    )
    const results = await Promise.all(asked)
    assert.deepEqual(
      results.map(({ reply }) => reply?.message),
      results.map((_, i) => `ping ${i}`),
    )
    assert.equal(broker.connections.length, 2)
    await until(() => subscribers.get('replies/shared')?.size === 0)
    assert.equal(broker.packetsOf('unsubscribe').length, 1, 'whoever was last unsubscribes')

    const again = messaging.ask(integration, { topic: 'ask/n', text: 'again', qos: 1, properties, waitMs: 0 })
    assert.equal((await again).no_reply, 'timeout')
    assert.equal(broker.connections.length, 2)
  })

  test('a collect whose filter overlaps a reply topic takes a connection of its own', async (t) => {
    const waiting = Promise.withResolvers<void>()
    const { broker } = await startResponder(t, () => {
      waiting.resolve()
      return null
    })
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const asked = messaging.ask(integration, { topic: 'ask/1', waitMs: 400, qos: 1 })
    await waiting.promise
    const collected = messaging.gather(integration, { topic: 'replies/#', waitMs: 10 })
    const apart = messaging.gather(integration, { topic: 'ask/#', waitMs: 10 })
    await Promise.all([collected, apart])
    assert.equal(broker.connections.length, 3, 'publish, reply with the other collect, overlapping collect')
    await asked
  })
})

describe('what is no reply', () => {
  const others: { why: string; answer: (request: IPublishPacket) => Answer | Answer[] }[] = [
    { why: 'nothing', answer: () => null },
    { why: 'a message without correlation data', answer: () => ({}) },
    {
      why: 'one with the data of another request',
      answer: () => ({ properties: { correlationData: Buffer.alloc(16) } }),
    },
    {
      why: 'one that begins with the same data',
      answer: ({ properties }) => ({
        properties: { correlationData: Buffer.concat([properties?.correlationData as Buffer, Buffer.alloc(1)]) },
      }),
    },
    { why: 'a retained one, which was there before', answer: (request) => ({ ...echo(request), retain: true }) },
    { why: 'one on another topic', answer: (request) => ({ ...echo(request), topic: 'replies/other' }) },
  ]
  for (const { why, answer } of others) {
    test(`${why}: acknowledged, and no reply by the time to wait`, async (t) => {
      const { broker } = await startResponder(t, answer)
      const { messaging, integration } = setUp(broker)
      await using _ = messaging
      const startedMs = performance.now()
      const {
        outcome,
        reply,
        no_reply: none,
      } = await messaging.ask(integration, { topic: 'ask/1', qos: 1, waitMs: 100 })
      assert.deepEqual([outcome, reply, none], ['acknowledged', null, 'timeout'])
      assert.ok(performance.now() - startedMs < patience(4_500))
      assert.equal(messaging.audit.rows.at(-1)?.detail?.['messages'], 0)
    })
  }

  test('the reply counts that comes behind them', async (t) => {
    const { broker } = await startResponder(t, (request) => [
      ...others.flatMap(({ answer }) => answer(request)),
      echo(request),
    ])
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    assert.equal((await messaging.ask(integration, { topic: 'ask/1', text: 'ping', qos: 1 })).reply?.message, 'ping')
  })
})

describe('when it goes wrong', () => {
  test('no acknowledgement by the deadline: unknown, and that a reply came all the same is said', async (t) => {
    for (const replies of [false, true]) {
      const { broker, subscribers } = await startResponder(t, () => null, {
        publish(packet) {
          if (!replies) return
          const topic = packet.properties?.responseTopic ?? ''
          const reply = { cmd: 'publish', qos: 0, dup: false, retain: false, ...echo(packet), topic } as IPublishPacket
          for (const subscriber of subscribers.get(topic) ?? []) subscriber.send(reply)
        },
      })
      const { messaging, integration } = setUp(broker)
      await using _ = messaging
      const asked = messaging.ask(integration, {
        topic: 'ask/1',
        qos: 1,
        deadlineMs: messaging.clock.monotonic() + 600,
      })
      const err = await refusalOf(asked)
      assert.equal(err.code, 'outcome.unknown')
      assert.equal(err.details?.['replied'], replies ? true : undefined)
      assert.equal(broker.packetsOf('publish').length, 1)
      assert.deepEqual(messaging.audit.actions().slice(-2), [
        'proxy.publish.outcome unknown',
        'proxy.subscribe.outcome success',
      ])
    }
  })

  test('the connection of the reply ends: the message is still acknowledged, and that is what is answered', async (t) => {
    const { broker, subscribers } = await startResponder(t, ({ properties }) => {
      for (const subscriber of subscribers.get(properties?.responseTopic ?? '') ?? []) subscriber.close()
      return null
    })
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const startedMs = performance.now()
    const { outcome, no_reply: none } = await messaging.ask(integration, { topic: 'ask/1', qos: 1, waitMs: 8_000 })
    assert.deepEqual([outcome, none], ['acknowledged', 'connection_ended'])
    assert.ok(performance.now() - startedMs < patience(7_000), 'it did not wait for nothing')
  })

  test('the subscription is refused: nothing is published', async (t) => {
    const { broker } = await startResponder(t, echo, {
      subscribe: ({ messageId = 0 }, connection) => connection.send({ cmd: 'suback', messageId, granted: [0x87] }),
    })
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const err = await refusalOf(messaging.ask(integration, { topic: 'ask/1' }))
    assert.equal(err.code, 'broker.rejected')
    assert.deepEqual(broker.packetsOf('publish'), [])
    assert.deepEqual(messaging.audit.actions(), [
      'proxy.publish.intent success',
      'proxy.subscribe.intent success',
      'proxy.publish.outcome failure',
      'proxy.subscribe.outcome failure',
    ])
    assert.equal(messaging.audit.rows.at(-1)?.detail?.['reason_code'], 0x87)
  })

  test('no SUBACK by the deadline: nothing is published', async (t) => {
    const { broker } = await startResponder(t, echo, { subscribe: () => {} })
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const err = await refusalOf(
      messaging.ask(integration, { topic: 'ask/1', deadlineMs: messaging.clock.monotonic() + 500 }),
    )
    assert.equal(err.code, 'broker.unreachable')
    assert.equal(broker.packetsOf('subscribe').length, 1)
    assert.deepEqual(broker.packetsOf('publish'), [])
  })

  test('the outcome of the subscription cannot be recorded: the message is out, so it is unknown and not refused', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    messaging.audit.broken.failOn = 'proxy.subscribe.outcome'
    assert.equal((await refusalOf(messaging.ask(integration, { topic: 'ask/1' }))).code, 'outcome.unknown')
    assert.equal(broker.packetsOf('publish').length, 1)
    messaging.audit.broken.failOn = 'proxy.subscribe.intent'
    assert.equal((await refusalOf(messaging.ask(integration, { topic: 'ask/1' }))).code, 'audit.unavailable')
    assert.equal(broker.packetsOf('publish').length, 1)
  })
})

describe('what is allowed', () => {
  const refused = [
    {
      why: 'an integration that does not allow subscribe',
      members: { allowedOperations: ['publish'] as const },
      code: 'operation.not_allowed',
    },
    {
      why: 'one that does not allow publish',
      members: { allowedOperations: ['subscribe'] as const },
      code: 'operation.not_allowed',
    },
    { why: 'MQTT 3.1.1', config: { ...CONFIG, protocol_version: 4 }, code: 'request.invalid', says: /needs MQTT 5/ },
    {
      why: 'no reply_prefix and no response topic',
      config: { topics: ['#'] },
      code: 'request.invalid',
      says: /config\.reply_prefix/,
    },
    {
      why: 'a reply prefix that the allow list does not cover',
      config: { topics: ['ask/#'], reply_prefix: 'elsewhere' },
      code: 'policy.denied',
      says: /may not subscribe to the response topic/,
    },
    { why: 'a topic that the allow list does not cover', topic: 'other/1', code: 'policy.denied' },
    {
      why: 'the topic of the message as response topic: it would be its own reply',
      properties: { responseTopic: 'ask/1' },
      code: 'request.invalid',
      says: /response_topic: is the topic of the message/,
    },
    {
      why: 'a response topic with a wildcard',
      properties: { responseTopic: 'replies/#' },
      code: 'request.invalid',
      says: /response_topic/,
    },
  ]
  for (const { why, members, config = CONFIG, topic = 'ask/1', properties, code, says = /./ } of refused) {
    test(`${why}: ${code}, and the broker is not even dialled`, async (t) => {
      const { broker } = await startResponder(t, echo)
      const { messaging, integration } = setUp(broker, config, members)
      await using _ = messaging
      const err = await refusalOf(messaging.ask(integration, { topic, ...(properties && { properties }) }))
      assert.equal(err.code, code)
      assert.match(err.message, says)
      assert.equal(broker.connections.length, 0)
    })
  }

  const rule = (id: string, actions: string[], topics: string[], more: object = {}) => ({
    id,
    effect: 'allow',
    actions,
    topics,
    ...more,
  })

  test('a policy names the replies of a key by its id, and denies those of others', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const policyId = messaging.policies.put([
      rule('ask', ['publish'], ['ask/#']),
      rule('own-replies', ['subscribe', 'receive'], ['replies/${clientId}/#']),
    ])
    const judged = { ...integration, id: `${integration.id}x`, policyId }
    assert.equal((await messaging.ask(judged, { topic: 'ask/1', text: 'ping', qos: 1 })).reply?.message, 'ping')
    const properties = { responseTopic: 'replies/key_other/1' }
    const err = await refusalOf(messaging.ask(judged, { topic: 'ask/1', properties }))
    assert.equal(err.code, 'policy.denied')
    assert.equal(messaging.audit.actions().at(-1), 'proxy.publish.denied denied')
    assert.equal(messaging.audit.rows.at(-1)?.detail?.['response_topic'], 'replies/key_other/1')
  })

  test('a policy that allows the replies at a lower QoS only has them asked for with that', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const replies = { ...rule('replies', ['subscribe', 'receive'], ['replies/#']), maxQos: 1 }
    const policyId = messaging.policies.put([rule('ask', ['publish'], ['ask/#']), replies])
    const result = await messaging.ask({ ...integration, policyId }, { topic: 'ask/1', qos: 1, text: 'ping' })
    assert.equal(result.reply?.message, 'ping')
    assert.deepEqual(
      broker.packetsOf('subscribe')[0]?.subscriptions.map(({ qos }) => qos),
      [1],
    )
    assert.equal(messaging.audit.rows[1]?.detail?.['forwarded_qos'], 1)
  })

  test('a reply that the policy does not let through is withheld, and on record', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const policyId = messaging.policies.put(
      [rule('ask', ['publish'], ['ask/#']), rule('sub', ['subscribe'], ['replies/#'])],
      { options: { receive: 'explicit' } },
    )
    const judged = { ...integration, policyId }
    const result = await messaging.ask(judged, { topic: 'ask/1', qos: 1, waitMs: 200 })
    assert.deepEqual([result.outcome, result.reply, result.no_reply], ['acknowledged', null, 'withheld'])
    assert.ok(messaging.audit.actions().includes('proxy.delivery denied'))
  })

  test('a guard lowers the QoS of the reply, and a refusal of the message leaves the broker alone', async (t) => {
    const { broker } = await startResponder(t, echo)
    const { messaging, integration } = setUp(broker, CONFIG, {
      guards: { qos: { enabled: true, 'max-qos': 0, downgrade: true } },
    })
    await using _ = messaging
    const result = await messaging.ask(integration, { topic: 'ask/1', qos: 1, text: 'ping' })
    assert.deepEqual([result.outcome, result.qos, result.reply?.message], ['sent', 0, 'ping'])
    assert.deepEqual(
      broker.packetsOf('subscribe')[0]?.subscriptions.map(({ qos }) => qos),
      [0],
    )
    const strict = setUp(broker, CONFIG, { guards: { qos: { enabled: true, 'max-qos': 0, downgrade: false } } })
    await using __ = strict.messaging
    assert.equal(
      (await refusalOf(strict.messaging.ask(strict.integration, { topic: 'ask/1', qos: 1 }))).code,
      'guard.refused',
    )
    assert.equal(broker.connections.length, 2)
  })
})
