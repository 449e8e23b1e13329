import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'
import { type ListenerKind, type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging, refusalOf, type Values } from './harness.ts'

const PASSWORD = 'correct horse battery staple'
const users = { alice: PASSWORD }
const versions = [4, 5] as const

interface Transport {
  readonly kind: ListenerKind
  readonly protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  readonly secure: boolean
}

const transports: readonly Transport[] = [
  { kind: 'tcp', protocol: 'mqtt', secure: false },
  { kind: 'tls', protocol: 'mqtts', secure: true },
  { kind: 'mtls', protocol: 'mqtts', secure: true },
  { kind: 'ws', protocol: 'ws', secure: false },
  { kind: 'wss', protocol: 'wss', secure: true },
]
const secureTransports = transports.filter(({ secure }) => secure)

let certificates: Certificates
let good: Mosquitto
let expired: Mosquitto
let wrongName: Mosquitto
const listeners = transports.map(({ kind }) => kind)

before(async () => {
  certificates = await createCertificates()
  const secure = secureTransports.map(({ kind }) => kind)
  good = await startMosquitto({ listeners, certificates, users })
  expired = await startMosquitto({ listeners: secure, certificates, users, serverIdentity: certificates.expired })
  wrongName = await startMosquitto({ listeners: secure, certificates, users, serverIdentity: certificates.wrongName })
})
after(async () => {
  await Promise.all([good, expired, wrongName].map((broker) => broker?.stop()))
  await certificates?.remove()
})

function valuesFor({ kind, secure }: Transport, broker: Mosquitto = good): Values {
  return {
    hostname: 'localhost',
    port: broker.ports[kind],
    ...(kind === 'mtls'
      ? { client_cert: certificates.client.certificate, client_key: certificates.client.key }
      : { username: 'alice', password: PASSWORD }),
    ...(secure && { ca_cert: certificates.ca }),
  }
}

function setUp(transport: Transport, values: Values, version: 4 | 5 = 5, tls = {}) {
  const messaging = createMessaging()
  const config = { topics: ['#'], protocol: transport.protocol, protocol_version: version, tls }
  const integration = createIntegration({ config })
  messaging.vault.put(integration.credentialId, values)
  return { messaging, integration }
}

for (const transport of transports) {
  for (const version of versions) {
    const name = `${transport.kind}, MQTT ${version === 4 ? '3.1.1' : '5'}`
    test(`${name}: what is published is collected, at each QoS`, async () => {
      const { messaging, integration } = setUp(transport, valuesFor(transport), version)
      await using _ = messaging
      const topic = `t/${transport.kind}/${version}`
      const texts = ['qos 0', 'qos 1', 'qos 2']
      const seen = texts.map(() => false)
      for (const [qos, text] of texts.entries()) {
        const retained = await messaging.send(integration, {
          topic: `${topic}/${qos}`,
          text,
          qos: qos as 0 | 1 | 2,
          retain: true,
        })
        assert.equal(retained.outcome, qos === 0 ? 'sent' : 'acknowledged')
      }
      const { messages, granted_qos: granted } = await messaging.gather(integration, {
        topic: `${topic}/+`,
        qos: 2,
        maxMessages: 3,
      })
      for (const { message, qos, retain } of messages) {
        assert.equal(message, texts[qos])
        assert.equal(retain, true)
        seen[qos] = true
      }
      assert.deepEqual(seen, [true, true, true])
      assert.equal(granted, 2)
    })
  }

  test(`${transport.kind}: the connection test reports the link as it is`, async () => {
    const { messaging, integration } = setUp(transport, valuesFor(transport))
    await using _ = messaging
    const { posture, protocol_version: version } = await messaging.test(integration)
    assert.equal(version, 5)
    assert.equal(posture.plaintext, !transport.secure)
    assert.equal(posture.tls_version, transport.secure ? 'TLSv1.3' : null)
    assert.deepEqual(messaging.pool.postureOf(integration), posture)
  })
}

for (const transport of secureTransports) {
  const refused = async (values: Values, tls = {}) => {
    const { messaging, integration } = setUp(transport, values, 5, tls)
    await using _ = messaging
    const err = await refusalOf(messaging.send(integration, { topic: 't/x' }))
    assert.deepEqual(messaging.audit.actions(), ['proxy.publish.intent success', 'proxy.publish.outcome failure'])
    return { code: err.code, reason: err.details?.['reason'] }
  }
  const accepted = async (values: Values, tls = {}) => {
    const { messaging, integration } = setUp(transport, values, 5, tls)
    await using _ = messaging
    assert.equal((await messaging.send(integration, { topic: 't/x' })).outcome, 'acknowledged')
  }

  test(`${transport.kind}: a certificate of another CA is refused, of the given CA accepted`, async () => {
    const values = valuesFor(transport)
    const wrong = await refused({ ...values, ca_cert: certificates.otherCa })
    assert.equal(wrong.code, 'broker.rejected')
    assert.match(
      String(wrong.reason),
      /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED_CERT_IN_CHAIN)$/,
    )
    const { ca_cert: _, ...publicCas } = values
    assert.equal((await refused(publicCas)).code, 'broker.rejected')
    await accepted(values)
  })

  test(`${transport.kind}: an expired certificate is refused, a living one accepted`, async () => {
    assert.deepEqual(await refused(valuesFor(transport, expired)), {
      code: 'broker.rejected',
      reason: 'CERT_HAS_EXPIRED',
    })
    await accepted(valuesFor(transport))
  })

  test(`${transport.kind}: a certificate for another name is refused, and accepted under its name`, async () => {
    const values = valuesFor(transport, wrongName)
    assert.deepEqual(await refused(values), { code: 'broker.rejected', reason: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    await accepted(values, { server_name: 'broker.example' })
  })

  test(`${transport.kind}: a plaintext listener gets no password, a TLS one does`, async () => {
    const chunks: Buffer[] = []
    const sockets: Socket[] = []
    const listener = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        socket.write(Buffer.from([0x20, 0x02, 0x00, 0x00, 0xd0, 0x00])) // as a plaintext broker would answer
      })
    }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    try {
      const port = (listener.address() as AddressInfo).port
      const values = { ...valuesFor(transport), username: 'alice', password: PASSWORD }
      assert.equal((await refused({ ...values, port })).code, 'broker.unreachable')
      const wire = Buffer.concat(chunks)
      assert.ok(wire.length > 0, 'it was dialled')
      assert.equal(wire[0], 0x16, 'a TLS record')
      assert.ok(!wire.includes(PASSWORD) && !wire.includes('alice') && !wire.includes('MQTT'))
      await accepted(values)
    } finally {
      for (const socket of sockets) socket.destroy()
      listener.close()
    }
  })
}

test('mtls: a client without a certificate, or with one of another CA, is refused; with its own accepted', async () => {
  const transport = transports.find(({ kind }) => kind === 'mtls') as Transport
  const { hostname, port, ca_cert } = valuesFor(transport)
  const base = { hostname, port, ca_cert }
  const { certificate, key } = certificates.foreignClient
  for (const values of [base, { ...base, client_cert: certificate, client_key: key }]) {
    const { messaging, integration } = setUp(transport, values)
    await using _ = messaging
    const err = await refusalOf(messaging.send(integration, { topic: 't/x' }))
    assert.equal(err.code, 'broker.rejected')
    assert.match(String(err.details?.['reason']), /^CLIENT_(CERTIFICATE_REQUIRED|UNKNOWN_CA)$/)
  }
  const { messaging, integration } = setUp(transport, valuesFor(transport))
  await using _ = messaging
  assert.equal((await messaging.send(integration, { topic: 't/x' })).outcome, 'acknowledged')
})

test('a certificate or key that is no PEM is named as what is wrong, without its text', async () => {
  const transport = transports.find(({ kind }) => kind === 'mtls') as Transport
  for (const member of ['ca_cert', 'client_cert', 'client_key']) {
    const { messaging, integration } = setUp(transport, { ...valuesFor(transport), [member]: 'canary-not-pem' })
    await using _ = messaging
    const err = await refusalOf(messaging.send(integration, { topic: 't/x' }))
    assert.equal(err.code, 'integration.invalid', member)
    assert.ok(!err.message.includes('canary'))
  }
})
