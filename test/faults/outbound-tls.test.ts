import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { refused, succeed } from '#test/support/api-server.ts'
import { type Certificates, createCertificates, type Identity } from '#test/support/certificates.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { assertEnd, type Line, type LineOptions, type Network, startNetwork, until } from './network-harness.ts'

let certificates: Certificates
let network: Network

before(async () => {
  const env = { BROKER_CONNECT_TIMEOUT_MS: '10000', REQUEST_DEADLINE_MS: '10000' } // nothing here is about time
  ;[certificates, network] = await Promise.all([createCertificates(), startNetwork(env)])
})
after(async () => {
  await network.close()
  await certificates.remove()
})

/** A line that speaks TLS with the authority of the certificates, or with what `credential` says. */
const secured = ({ credential, ...options }: LineOptions) =>
  network.line({
    config: { protocol: 'mqtts' },
    credential: { hostname: 'localhost', username: 'u', password: 'secret', ca_cert: certificates.ca, ...credential },
    ...options,
  })

const logins = ({ broker }: Line) => broker.packetsOf('connect').length
const certificateRefused = { status: 502, code: 'broker.rejected' }

async function reasonOnRecord({ requestId }: { requestId: string }): Promise<unknown> {
  return (await network.auditOf({ requestId })).at(-1)?.detail['reason']
}

const refusals: readonly { what: string; of: (all: Certificates) => Identity; reason: string }[] = [
  { what: 'that has expired', of: ({ expired }) => expired, reason: 'CERT_HAS_EXPIRED' },
  { what: 'of another name', of: ({ wrongName }) => wrongName, reason: 'ERR_TLS_CERT_ALTNAME_INVALID' },
  { what: 'signed by itself', of: ({ selfSigned }) => selfSigned, reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
  { what: 'with a key of 1,024 bits', of: ({ weak }) => weak, reason: 'EE_KEY_TOO_SMALL' },
]
for (const { what, of, reason } of refusals) {
  test(`F34: a certificate ${what} is refused by its name, on record, and sees no login`, async () => {
    const line = await secured({ identity: of(certificates) })
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'rejected', certificateRefused)
    assert.equal(answer.details.reason, reason)
    assert.equal(await reasonOnRecord(answer), reason)
    await until(() => line.front?.handshakes.length === 1) // the handshake, as the other side saw it
    assert.deepEqual([line.front?.accepted, line.broker.bytes.length], [1, 0], 'one attempt, and no login')
  })
}

test('F34: a certificate that a credential pins as its authority is accepted, and no other', async () => {
  const { selfSigned } = certificates
  const credential = { ca_cert: selfSigned.certificate }
  const line = await secured({ identity: selfSigned, credential })
  await assertEnd(network, line, await line.publish(), 'acknowledged')
  const other = await secured({ identity: certificates.server, credential })
  await assertEnd(network, other, await other.publish(), 'rejected', certificateRefused)
  assert.equal(logins(other), 0)
})

test('F34: a certificate that is rotated mid-flight: the link lives on, the next one is judged anew, and again', async () => {
  const line = await secured({ identity: certificates.server })
  await assertEnd(network, line, await line.publish(), 'acknowledged')

  line.front?.present(certificates.expired)
  await assertEnd(network, line, await line.publish(), 'acknowledged')
  assert.equal(line.front?.accepted, 1, 'on the link that was there')

  const before = await network.connections()
  assert.equal(line.proxy.endAll('close'), 1)
  await until(async () => (await network.connections()) < before)
  const answer = await line.publish()
  await assertEnd(network, line, answer, 'rejected', certificateRefused)
  assert.equal(answer.details.reason, 'CERT_HAS_EXPIRED')
  assert.deepEqual([line.front?.accepted, logins(line)], [2, 1])

  line.front?.present(certificates.server)
  await until(async () => {
    const { status, code } = await line.publish() // for a while the broker's own failure is the answer
    assert.ok(status === 200 || code === 'broker.rejected', `${status} ${code}`)
    return status === 200
  })
  assert.equal(logins(line), 2)
})

test('F34: a client certificate that has expired is refused by the broker, in its alert; one that lives is not', async () => {
  const mosquitto = await startMosquitto({ listeners: ['mtls'], certificates })
  try {
    const withClient = ({ certificate, key }: Identity) =>
      secured({ port: mosquitto.ports.mtls, credential: { client_cert: certificate, client_key: key } })
    const line = await withClient(certificates.expiredClient)
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'rejected', certificateRefused)
    assert.equal(answer.details.reason, 'CLIENT_CERTIFICATE_EXPIRED')
    assert.equal(await reasonOnRecord(answer), 'CLIENT_CERTIFICATE_EXPIRED')
    await until(() => /certificate (has )?expired|certificate verify failed/.test(mosquitto.log()))
    assert.equal(mosquitto.connects(), 0)

    const { status, outcome, messageId, requestId } = await (await withClient(certificates.client)).publish()
    assert.deepEqual([status, outcome], [202, 'acknowledged'], 'nobody subscribes')
    assert.equal(mosquitto.connects(), 1)
    const rows = await network.auditOf({ requestId })
    assert.deepEqual(
      rows.map(({ action, outcome, message_id: id }) => [action, outcome, id]),
      [
        ['proxy.publish.intent', 'success', messageId],
        ['proxy.publish.outcome', 'success', messageId],
      ],
    )
  } finally {
    await mosquitto.stop()
  }
})

test('no PEM is named before anything is dialled, so that it does not tell whether somebody listens', async () => {
  const { front } = await secured({ identity: certificates.server })
  const { call } = network.api
  const values = { hostname: 'localhost', port: front?.port, ca_cert: 'no PEM' }
  const sealed = await succeed(call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }))
  const of = { credential_id: sealed.id, system_type: 'mqtt', allowed_operations: ['publish'] }
  const body = { name: 'no PEM', config: { topic: 'a', protocol: 'mqtts' }, ...of }
  await refused(call('POST', '/api/v2/integrations', { body }), 422, 'integration.invalid')
  assert.equal(front?.accepted, 0)
})
