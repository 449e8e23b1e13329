import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { listen } from '#src/http/listen.ts'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'
import { patience } from '#test/support/patience.ts'

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
    assert.ok(performance.now() - beganMs < patience(5_000))
    await cut
  })
})

const SOMAXCONN = '/proc/sys/net/core/somaxconn'
const mostHere = existsSync(SOMAXCONN) ? Number(readFileSync(SOMAXCONN, 'utf8')) : 128
const CLIENTS = 900
const connectAll = `
  const net = require('node:net')
  let connected = 0
  const leave = () => { console.log(connected); process.exit() }
  for (let i = 0; i < ${CLIENTS}; i++)
    net.connect(Number(process.argv[1]), '127.0.0.1', () => ++connected === ${CLIENTS} && leave()).on('error', leave)
  setTimeout(leave, 10_000)`

test('while the event loop is busy, the system takes all who come back at once', {
  skip: mostHere < CLIENTS && `the system holds at most ${mostHere} connections`,
}, async () => {
  const http = await listen({ host: '127.0.0.1', port: 0 }, (_req, res) => res.end())
  // Nothing is accepted before it returns: it is this loop that is busy.
  const connected = execFileSync(process.execPath, ['-e', connectAll, String(http.port)], { encoding: 'utf8' })
  await http.close()
  assert.equal(Number(connected), CLIENTS)
})
