import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { listen } from '#src/http/listen.ts'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'

describe('a listener with TLS', () => {
  let certificates: Certificates
  before(async () => {
    certificates = await createCertificates()
  })
  after(() => certificates.remove())

  test('it closes although clients never finish their handshake, or say nothing after it', async () => {
    const { certificateFile: certFile, keyFile } = certificates.server
    const http = await listen({ host: '127.0.0.1', port: 0, certFile, keyFile }, (_req, res) => res.end())
    const silent = connect(http.port, '127.0.0.1')
    const idle = connectTls({ port: http.port, host: '127.0.0.1', ca: certificates.ca, servername: 'localhost' })
    await Promise.all([once(silent, 'connect'), once(idle, 'secureConnect')])
    for (const socket of [silent, idle]) socket.on('error', () => undefined)
    const cut = Promise.all([once(silent, 'close'), once(idle, 'close')])
    const beganMs = performance.now()
    await http.close()
    assert.ok(performance.now() - beganMs < 5_000)
    await cut
  })
})
