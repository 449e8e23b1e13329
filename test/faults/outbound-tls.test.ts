import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { after, before, test } from 'node:test'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { createIntegration, createMessaging, refusalOf, until } from '#test/messaging/harness.ts'
import { type Certificates, createCertificates, type Identity } from '#test/support/certificates.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'

let certificates: Certificates
let broker: FakeBroker

before(async () => {
  ;[certificates, broker] = await Promise.all([createCertificates(), startFakeBroker()])
})
after(() => Promise.all([certificates.remove(), broker.stop()]))

interface TlsFront {
  readonly port: number
  readonly sockets: Set<TLSSocket>
  /** Handshakes that failed, as this side saw them. */
  readonly failures: string[]
  present(identity: Identity): void
  [Symbol.asyncDispose](): Promise<void>
}

const identityOptions = ({ certificate, key }: Identity): TlsOptions => ({
  cert: certificate,
  key,
  ciphers: 'DEFAULT@SECLEVEL=0', // it must be able to present what the other side is to refuse
})

/** TLS in front of the broker. */
async function startFront(identity: Identity): Promise<TlsFront> {
  const sockets = new Set<TLSSocket>()
  const failures: string[] = []
  const server: Server = createServer(identityOptions(identity), (socket) => {
    sockets.add(socket)
    const behind = connect(broker.port, '127.0.0.1')
    for (const end of [socket, behind]) end.on('error', () => {})
    socket.on('close', () => behind.destroy())
    behind.on('close', () => socket.destroy())
    socket.pipe(behind).pipe(socket)
  }).listen(0, '127.0.0.1')
  server.on('tlsClientError', (err: NodeJS.ErrnoException) => failures.push(err.code ?? err.message))
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    failures,
    present: (next) => server.setSecureContext(identityOptions(next)),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function setUp(front: Pick<TlsFront, 'port'>, values: Record<string, unknown> = {}) {
  const messaging = createMessaging({ random: () => 0 })
  const integration = createIntegration({ config: { topics: ['#'], qos: 1, protocol: 'mqtts' } })
  const all = { hostname: 'localhost', port: front.port, username: 'u', password: 'secret', ca_cert: certificates.ca }
  messaging.vault.put(integration.credentialId, { ...all, ...values })
  return { messaging, integration }
}

const OUTCOMES = ['proxy.publish.intent success', 'proxy.publish.outcome failure']
const logins = () => broker.packetsOf('connect').length

const refusals: readonly { what: string; of: (all: Certificates) => Identity; reason: RegExp }[] = [
  { what: 'that has expired', of: ({ expired }) => expired, reason: /^CERT_HAS_EXPIRED$/ },
  { what: 'of another name', of: ({ wrongName }) => wrongName, reason: /^ERR_TLS_CERT_ALTNAME_INVALID$/ },
  { what: 'signed by itself', of: ({ selfSigned }) => selfSigned, reason: /^DEPTH_ZERO_SELF_SIGNED_CERT$/ },
  { what: 'with a key of 1,024 bits', of: ({ weak }) => weak, reason: /^EE_KEY_TOO_SMALL$/ },
]
for (const { what, of, reason } of refusals) {
  test(`F34: a certificate ${what} is refused by its name, on record, and sees no login`, async () => {
    await using front = await startFront(of(certificates))
    const { messaging, integration } = setUp(front)
    await using _ = messaging
    const before = logins()
    const err = await refusalOf(messaging.send(integration, { topic: 't' }))
    assert.equal(err.code, 'broker.rejected')
    assert.equal(err.message, "The broker's certificate was refused.")
    assert.match(String(err.details?.['reason']), reason)
    assert.deepEqual(messaging.audit.actions(), OUTCOMES)
    assert.match(String(messaging.audit.rows[1]?.detail?.['reason']), reason)
    await until(() => front.failures.length + front.sockets.size > 0) // the handshake, as the other side saw it
    assert.equal(logins(), before)
  })
}

test('F34: a certificate that a credential pins as its authority is accepted, and no other', async () => {
  await using front = await startFront(certificates.selfSigned)
  const { messaging, integration } = setUp(front, { ca_cert: certificates.selfSigned.certificate })
  await using _ = messaging
  assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
})

test('F34: a certificate that is rotated mid-flight: the link lives on, the next one is judged anew, and again', async () => {
  await using front = await startFront(certificates.server)
  const { messaging, integration } = setUp(front)
  await using _ = messaging
  const send = () => messaging.send(integration, { topic: 't' })
  assert.equal((await send()).outcome, 'acknowledged')

  front.present(certificates.expired)
  const before = logins()
  assert.equal((await send()).outcome, 'acknowledged')
  assert.equal(logins(), before, 'on the link that was there')

  for (const socket of front.sockets) socket.destroy()
  while (messaging.pool.stats().connections > 0) await new Promise(setImmediate)
  assert.equal((await refusalOf(send())).details?.['reason'], 'CERT_HAS_EXPIRED')
  assert.equal(logins(), before)

  front.present(certificates.server)
  assert.equal((await send()).outcome, 'acknowledged')
  assert.equal(logins(), before + 1)
  assert.deepEqual(
    messaging.audit.actions().filter((action) => action.startsWith('proxy.publish.outcome')),
    ['success', 'success', 'failure', 'success'].map((outcome) => `proxy.publish.outcome ${outcome}`),
  )
})

test('F34: a client certificate that has expired is refused by the broker, in its alert; one that lives is not', async () => {
  const mosquitto = await startMosquitto({ listeners: ['mtls'], certificates })
  try {
    const front = { port: mosquitto.ports.mtls }
    const of = ({ certificate, key }: Identity) => ({ client_cert: certificate, client_key: key })
    const { messaging, integration } = setUp(front, { ...of(certificates.expiredClient) })
    await using _ = messaging
    const err = await refusalOf(messaging.send(integration, { topic: 't' }))
    assert.deepEqual([err.code, err.details?.['reason']], ['broker.rejected', 'CLIENT_CERTIFICATE_EXPIRED'])
    assert.deepEqual(messaging.audit.actions(), OUTCOMES)
    assert.equal(messaging.audit.rows[1]?.detail?.['reason'], 'CLIENT_CERTIFICATE_EXPIRED')
    await until(() => /certificate (has )?expired|certificate verify failed/.test(mosquitto.log()))

    messaging.vault.put(integration.credentialId, {
      hostname: 'localhost',
      port: front.port,
      ca_cert: certificates.ca,
      ...of(certificates.client),
    })
    assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
  } finally {
    await mosquitto.stop()
  }
})

test('no PEM is named before anything is dialled, so that it does not tell whether somebody listens', async () => {
  await using front = await startFront(certificates.server)
  const { messaging, integration } = setUp(front, { ca_cert: 'no PEM' })
  await using _ = messaging
  assert.equal((await refusalOf(messaging.send(integration, { topic: 't' }))).code, 'integration.invalid')
  assert.equal(front.failures.length + front.sockets.size, 0)
})
