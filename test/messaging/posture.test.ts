import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { after, before, test } from 'node:test'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging, refusalOf } from './harness.ts'

let certificates: Certificates
let broker: Mosquitto
/** TLS listeners of this Node in front of the broker: its OpenSSL has post-quantum groups, the distribution's has not. */
let quantumSafe: Server
let classical: Server

async function listenInFront(groups: string): Promise<Server> {
  const { certificate, key } = certificates.server
  const server = createServer({ cert: certificate, key, ecdhCurve: groups }, (socket: TLSSocket) => {
    const upstream = connect(broker.ports.tcp, '127.0.0.1')
    socket.on('error', () => upstream.destroy()).pipe(upstream)
    upstream.on('error', () => socket.destroy()).pipe(socket)
  }).listen(0, '127.0.0.1')
  server.on('tlsClientError', () => {}) // a refused posture ends the handshake's connection
  await once(server, 'listening')
  return server
}

before(async () => {
  certificates = await createCertificates()
  broker = await startMosquitto({ listeners: ['tcp', 'tls'], certificates, users: { alice: 'pw' } })
  quantumSafe = await listenInFront('X25519MLKEM768')
  classical = await listenInFront('X25519')
})
after(async () => {
  quantumSafe.close()
  classical.close()
  await broker.stop()
  await certificates.remove()
})

function setUp(port: number, tls: object, rest: object = { protocol: 'mqtts' }) {
  const messaging = createMessaging()
  const integration = createIntegration({ config: { topics: ['#'], tls, ...rest } })
  const login = { username: 'alice', password: 'pw', ca_cert: certificates.ca }
  messaging.vault.put(integration.credentialId, { hostname: 'localhost', port, ...login })
  return { messaging, integration }
}
const portOf = (server: Server) => (server.address() as AddressInfo).port

test('a post-quantum link is reported as one, and satisfies require_pqc', async () => {
  const { messaging, integration } = setUp(portOf(quantumSafe), { require_pqc: true, min_version: 'TLSv1.3' })
  await using _ = messaging
  assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
  assert.deepEqual((await messaging.test(integration)).posture, {
    plaintext: false,
    tls_version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    group: 'X25519MLKEM768',
    post_quantum: true,
  })
})

test('a classical link is reported as one', async () => {
  const { messaging, integration } = setUp(portOf(classical), {})
  await using _ = messaging
  const { posture } = await messaging.test(integration)
  assert.deepEqual([posture.group, posture.post_quantum], ['X25519', false])
})

test('Mosquitto itself: the posture is what the system OpenSSL agrees on', async () => {
  const { messaging, integration } = setUp(broker.ports.tls, {})
  await using _ = messaging
  const { posture } = await messaging.test(integration)
  assert.equal(posture.tls_version, 'TLSv1.3')
  assert.match(posture.group ?? '', /^X25519/)
  assert.equal(posture.post_quantum, posture.group === 'X25519MLKEM768')
})

test('require_pqc refuses a classical link before CONNECT; without it the same link publishes', async () => {
  const strict = setUp(portOf(classical), { require_pqc: true })
  await using _ = strict.messaging
  const connects = broker.connects()
  const err = await refusalOf(strict.messaging.send(strict.integration, { topic: 't' }))
  assert.equal(err.code, 'broker.rejected')
  assert.equal(err.details?.['reason'], 'post_quantum_required: X25519')
  assert.equal(broker.connects(), connects)

  const loose = setUp(portOf(classical), { require_pqc: false })
  await using __ = loose.messaging
  assert.equal((await loose.messaging.send(loose.integration, { topic: 't' })).outcome, 'acknowledged')
})

test('require_pqc never speaks plaintext: without a protocol and a certificate it is refused', async () => {
  const { messaging, integration } = setUp(broker.ports.tcp, { require_pqc: true }, {})
  messaging.vault.put(integration.credentialId, { hostname: 'localhost', port: broker.ports.tcp })
  await using _ = messaging
  const connects = broker.connects()
  const err = await refusalOf(messaging.send(integration, { topic: 't' }))
  assert.equal(err.code, 'integration.invalid')
  assert.equal(broker.connects(), connects)
})
