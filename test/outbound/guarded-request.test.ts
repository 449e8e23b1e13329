import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'
import { after, before, type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { Secret } from '#src/core/secret.ts'
import { createGuardedRequest, type GuardedRequestDeps, type RequestSpec } from '#src/outbound/guarded-request.ts'
import { type FailureReason, RequestFailure } from '#src/outbound/request-failure.ts'
import { type Certificates, createCertificates } from '../support/certificates.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (body: Uint8Array) => new TextDecoder().decode(body)

let certificates: Certificates
before(async () => {
  certificates = await createCertificates()
})
after(() => certificates.remove())

interface Service {
  readonly port: number
  readonly url: string
  /** Connections that were ever made. */
  connections(): number
  requests(): number
}

async function serve(t: TestContext, server: Server, scheme = 'http', address = '127.0.0.1'): Promise<Service> {
  let [connections, requests] = [0, 0]
  server.on('connection', () => connections++)
  server.on('request', () => requests++)
  server.listen(0, address)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `${scheme}://${address}:${port}/`,
    connections: () => connections,
    requests: () => requests,
  }
}

const start = (t: TestContext, answer: RequestListener) => serve(t, createServer(answer))

/** A peer that speaks as the test says, and no HTTP of Node. */
async function startRaw(t: TestContext, speak: (socket: Socket, connection: number) => void): Promise<Service> {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createNetServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    speak(socket, ++connections)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, url: `http://127.0.0.1:${port}/`, connections: () => connections, requests: () => Number.NaN }
}

function client(t: TestContext, deps: Partial<GuardedRequestDeps> = {}) {
  const request = createGuardedRequest({ allow: [], ...deps })
  t.after(() => request.close())
  return (spec: Partial<RequestSpec> & { url: string }) =>
    request({ method: 'GET', timeoutMs: 10_000, maxBytes: 65_536, trusted: true, ...spec })
}

async function failureOf(run: Promise<unknown>): Promise<RequestFailure> {
  try {
    await run
  } catch (err) {
    assert.ok(err instanceof RequestFailure, String(err))
    return err
  }
  return assert.fail('there was an answer')
}

const reasonOf = async (run: Promise<unknown>): Promise<FailureReason> => (await failureOf(run)).reason

test('guarded request: what a trusted URL on loopback answers comes back, whatever its status', async (t) => {
  const seen: unknown[] = []
  const service = await start(t, async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    seen.push([
      req.method,
      req.url,
      req.headers['x-token'],
      req.headers['content-length'],
      Buffer.concat(chunks).toString(),
    ])
    res.writeHead(418, { 'X-Kind': 'teapot', 'Set-Cookie': ['a=1', 'b=2'] }).end('short')
  })
  const ask = client(t)
  const reply = await ask({
    method: 'POST',
    url: `${service.url}check?a=b%20c#part`,
    headers: { 'X-Token': 'abc' },
    body: bytes('{"a":1}'),
  })
  assert.equal(reply.status, 418)
  assert.equal(reply.headers['x-kind'], 'teapot')
  assert.equal(reply.headers['set-cookie'], 'a=1, b=2')
  assert.equal(text(reply.body), 'short')
  assert.deepEqual(seen, [['POST', '/check?a=b%20c', 'abc', '7', '{"a":1}']])
})

const never: readonly { url: string; reason: FailureReason; why: string }[] = [
  { url: 'http://169.254.169.254/latest/meta-data/', reason: 'not-allowed', why: 'metadata' },
  { url: 'http://[fd00:ec2::254]/', reason: 'not-allowed', why: 'metadata over IPv6' },
  { url: 'http://[::ffff:10.0.0.1]/', reason: 'not-allowed', why: 'a mapped address' },
  { url: 'http://0.0.0.0/', reason: 'not-allowed', why: 'this network' },
  { url: 'http://metadata.google.internal/', reason: 'not-allowed', why: 'a name of metadata' },
  { url: 'http://user:secret@idp.example/', reason: 'invalid', why: 'credentials in the URL' },
  { url: 'file:///etc/passwd', reason: 'invalid', why: 'no web scheme' },
  { url: 'ftp://idp.example/', reason: 'invalid', why: 'no web scheme' },
  { url: 'not a url', reason: 'invalid', why: 'no URL' },
  { url: `http://idp.example/${'a'.repeat(9_000)}`, reason: 'invalid', why: 'too long' },
  { url: 'https://idp..example/', reason: 'invalid', why: 'an empty label' },
]
const neverOthers: typeof never = [
  { url: 'https://127.0.0.1:8443/', reason: 'not-allowed', why: 'loopback' },
  { url: 'https://2130706433:8443/', reason: 'not-allowed', why: 'loopback as a number' },
  { url: 'https://0x7f.1:8443/', reason: 'not-allowed', why: 'loopback in hexadecimal' },
  { url: 'https://[::1]:8443/', reason: 'not-allowed', why: 'loopback over IPv6' },
  { url: 'https://10.1.2.3/', reason: 'not-allowed', why: 'a private address' },
  { url: 'https://localhost:8443/', reason: 'not-allowed', why: 'localhost' },
  { url: 'http://idp.example/', reason: 'not-allowed', why: 'plain http' },
  { url: 'https://idp.example:22/', reason: 'not-allowed', why: 'a port of another service' },
  { url: 'https://idp.example:6379/', reason: 'not-allowed', why: 'a known port of another service' },
]
for (const [cases, trusted] of [
  [never, true],
  [never, false],
  [neverOthers, false],
] as const) {
  for (const { url, reason, why } of cases) {
    test(`guarded request: ${trusted ? 'a trusted URL' : 'a URL of others'} to ${why} is ${reason}`, async (t) => {
      const asked: string[] = []
      const ask = client(t, {
        resolve: async (name) => {
          asked.push(name)
          return name === 'localhost' ? ['127.0.0.1'] : ['192.0.2.1']
        },
      })
      const failure = await failureOf(ask({ url, trusted }))
      assert.equal(failure.reason, reason)
      assert.ok(!failure.message.includes('secret') && !failure.message.includes('idp'), failure.message)
      assert.deepEqual(
        asked.filter((name) => name !== 'localhost'),
        [],
      )
    })
  }
}

test('guarded request: a name of others that leads to a private address is refused, and nobody is connected to', async (t) => {
  const service = await serve(
    t,
    createTlsServer({ cert: certificates.server.certificate, key: certificates.server.key }),
    'https',
  )
  const url = `https://localhost:${service.port}/`
  const resolve = async () => ['127.0.0.1']
  assert.equal(await reasonOf(client(t, { resolve })({ url, trusted: false })), 'not-allowed')
  assert.equal(service.connections(), 0)
})

test('guarded request: OUTBOUND_ALLOW opens a network for URLs of others', async (t) => {
  const { certificate: cert, key } = certificates.server
  const service = await serve(
    t,
    createTlsServer({ cert, key }, (_, res) => res.end('keys')),
    'https',
  )
  const ask = client(t, { allow: ['127.0.0.0/8'], resolve: async () => ['127.0.0.1'] })
  const url = `https://localhost:${service.port}/`
  assert.equal(text((await ask({ url, trusted: false, tls: { ca: certificates.ca } })).body), 'keys')
})

test('guarded request: one forbidden address among several refuses the name, a trusted one too', async (t) => {
  const service = await start(t, (_, res) => res.end())
  const ask = client(t, { resolve: async () => ['127.0.0.1', '169.254.169.254'] })
  assert.equal(await reasonOf(ask({ url: `http://idp.example:${service.port}/` })), 'not-allowed')
  assert.equal(service.connections(), 0)
})

test('guarded request: a new connection is judged anew, when a name has changed its address', async (t) => {
  const service = await start(t, (_, res) => res.writeHead(200, { connection: 'close' }).end('one'))
  const answers = [['127.0.0.1'], ['169.254.169.254']]
  let asked = 0
  const ask = client(t, { resolve: async () => answers[asked++] ?? [] })
  const url = `http://idp.example:${service.port}/`
  assert.equal(text((await ask({ url })).body), 'one')
  assert.equal(await reasonOf(ask({ url })), 'not-allowed')
  assert.equal(await reasonOf(ask({ url })), 'unreachable') // no address at all
  assert.equal(asked, 3)
  assert.equal(service.connections(), 1)
})

test('guarded request: our own listeners are never asked, whoever says so', async (t) => {
  const service = await start(t, (_, res) => res.end())
  const ask = client(t, { ownListeners: () => [{ port: service.port }] })
  assert.equal(await reasonOf(ask({ url: service.url })), 'not-allowed')
  assert.equal(service.connections(), 0)
})

test('guarded request: a redirect is an answer and is not followed', async (t) => {
  const aim = await start(t, (_, res) => res.end('inside'))
  const service = await start(t, (_, res) => res.writeHead(302, { location: aim.url }).end())
  const reply = await client(t)({ url: service.url })
  assert.equal(reply.status, 302)
  assert.equal(aim.connections(), 0)
})

test('guarded request: silence, a dripping body and a slow name all end at the deadline', async (t) => {
  const silent = await startRaw(t, () => {})
  const dripping = await start(t, (_, res) => {
    const timer = setInterval(() => res.write('x'), 20)
    res.on('close', () => clearInterval(timer))
  })
  const startedMs = performance.now()
  const slowName = client(t, { resolve: () => new Promise(() => {}) })
  const reasons = await Promise.all([
    reasonOf(client(t)({ url: silent.url, timeoutMs: 200 })),
    reasonOf(client(t)({ url: dripping.url, timeoutMs: 200 })),
    reasonOf(slowName({ url: 'http://idp.example/', timeoutMs: 200 })),
  ])
  assert.deepEqual(reasons, ['timeout', 'timeout', 'timeout'])
  assert.ok(performance.now() - startedMs < 2_200)
  assert.equal(silent.connections(), 1)
  assert.equal(dripping.requests(), 1)
})

test('guarded request: who gives up ends the connection', async (t) => {
  const gone = Promise.withResolvers<void>()
  const stop = new AbortController()
  const service = await start(t, (_, res) => {
    res.on('close', () => gone.resolve())
    stop.abort()
  })
  assert.equal(await reasonOf(client(t)({ url: service.url, signal: stop.signal })), 'aborted')
  await gone.promise
  assert.equal(await reasonOf(client(t)({ url: service.url, signal: AbortSignal.abort() })), 'aborted')
  assert.equal(service.requests(), 1)
})

test('guarded request: a body or a head over the bound ends the request', async (t) => {
  const service = await start(t, (req, res) => {
    if (req.url === '/declared') res.writeHead(200, { 'content-length': '101' }).end('x'.repeat(101))
    else if (req.url === '/chunked') res.write('x'.repeat(60), () => res.end('y'.repeat(60)))
    else if (req.url === '/head') res.writeHead(200, { 'x-long': 'x'.repeat(20_000) }).end()
    else res.end('x'.repeat(100))
  })
  const ask = client(t)
  for (const path of ['declared', 'chunked', 'head']) {
    assert.equal(await reasonOf(ask({ url: `${service.url}${path}`, maxBytes: 100 })), 'too-large', path)
  }
  assert.equal((await ask({ url: `${service.url}fits`, maxBytes: 100 })).body.length, 100)
  assert.equal((await ask({ method: 'HEAD', url: `${service.url}declared`, maxBytes: 100 })).body.length, 0)
})

test('guarded request: a compressed body stays as it is, so that a small one cannot become a large one', async (t) => {
  const bomb = gzipSync(Buffer.alloc(100_000))
  const service = await start(t, (req, res) => {
    assert.equal(req.headers['accept-encoding'], 'identity')
    res.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
  })
  assert.deepEqual(Buffer.from((await client(t)({ url: service.url })).body), bomb)
})

const broken: readonly { why: string; sends: string }[] = [
  { why: 'a body shorter than declared', sends: 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort' },
  {
    why: 'a chunked body without its end',
    sends: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n',
  },
  { why: 'no HTTP', sends: 'SSH-2.0-OpenSSH_9.9\r\n' },
  { why: 'two lengths', sends: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab' },
  { why: 'another protocol', sends: 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n' },
  { why: 'nothing', sends: '' },
]
for (const { why, sends } of broken) {
  test(`guarded request: an answer that is ${why} is none`, async (t) => {
    const service = await startRaw(t, (socket) => socket.once('data', () => socket.end(sends)))
    assert.equal(await reasonOf(client(t)({ url: service.url })), 'unreachable')
    assert.equal(service.connections(), 1)
  })
}

test('guarded request: connections are kept, and one that the service has closed is replaced once', async (t) => {
  const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
  // The first connection answers once and is reset by the next question; so the question arrives at a second one.
  const service = await startRaw(t, (socket, connection) => {
    let questions = 0
    socket.on('data', () => (++questions === 2 && connection === 1 ? socket.resetAndDestroy() : socket.write(OK)))
  })
  const ask = client(t)
  for (const _ of [1, 2, 3]) assert.equal(text((await ask({ url: service.url })).body), 'ok')
  assert.ok(service.connections() >= 2 && service.connections() <= 3)
  const kept = await start(t, (_, res) => res.end('ok'))
  for (const _ of [1, 2, 3]) await ask({ url: kept.url })
  assert.equal(kept.connections(), 1)
  assert.equal(kept.requests(), 3)
})

for (const { method, repeatable, again } of [
  { method: 'GET', repeatable: false, again: true },
  { method: 'PUT', repeatable: false, again: true },
  { method: 'POST', repeatable: false, again: false },
  { method: 'PATCH', repeatable: false, again: false },
  { method: 'POST', repeatable: true, again: true },
] as const) {
  const how = repeatable ? ' that may be sent twice' : ''
  test(`guarded request: a ${method}${how} on a kept connection that is reset is sent ${again ? 'once more' : 'once'}`, async (t) => {
    const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
    let questions = 0
    const service = await startRaw(t, (socket, connection) => {
      socket.on('data', () => (++questions > 1 && connection === 1 ? socket.resetAndDestroy() : socket.write(OK)))
    })
    const ask = client(t)
    await ask({ url: service.url })
    const second = ask({ url: service.url, method, repeatable })
    if (again) assert.equal(text((await second).body), 'ok')
    else assert.equal(await reasonOf(second), 'unreachable')
    assert.deepEqual([questions, service.connections()], again ? [3, 2] : [2, 1])
  })
}

test('guarded request: who waits for a connection is not held to the time of those before', async (t) => {
  const service = await start(t, (req, res) => void (req.url === '/quick' && res.end('ok')))
  const resolve: GuardedRequestDeps['resolve'] = async (_, { signal }) => {
    signal.throwIfAborted()
    return ['127.0.0.1']
  }
  const ask = client(t, { resolve })
  const url = `http://service.example:${service.port}/`
  const stop = new AbortController()
  const slow = Array.from({ length: 128 }, () => reasonOf(ask({ url, signal: stop.signal })))
  while (service.requests() < 128) await new Promise((next) => setImmediate(next))
  const last = ask({ url: `${url}quick` })
  stop.abort()
  assert.equal(text((await last).body), 'ok')
  assert.deepEqual(new Set(await Promise.all(slow)), new Set(['aborted']))
})

test('guarded request: a connection of a trusted URL is not used for a URL of others', async (t) => {
  const { certificate: cert, key } = certificates.server
  const service = await serve(
    t,
    createTlsServer({ cert, key }, (_, res) => res.end('ok')),
    'https',
  )
  const ask = client(t, { resolve: async () => ['127.0.0.1'] })
  const spec = { url: `https://localhost:${service.port}/`, tls: { ca: certificates.ca } }
  await ask(spec)
  assert.equal(await reasonOf(ask({ ...spec, trusted: false })), 'not-allowed')
  assert.equal(service.requests(), 1)
})

test('guarded request: TLS verifies chain, life and name, and shows our certificate where there is one', async (t) => {
  const { server, expired, wrongName, selfSigned, client: device, ca, otherCa } = certificates
  const cases = [
    { identity: server, tls: { ca }, ok: true },
    { identity: server, tls: { ca: otherCa }, ok: false },
    { identity: server, tls: {}, ok: false },
    { identity: expired, tls: { ca }, ok: false },
    { identity: wrongName, tls: { ca }, ok: false },
    { identity: selfSigned, tls: { ca }, ok: false },
  ]
  for (const [i, { identity, tls, ok }] of cases.entries()) {
    const service = await serve(
      t,
      createTlsServer({ cert: identity.certificate, key: identity.key }, (_, res) => res.end('ok')),
      'https',
      '127.0.0.1',
    )
    const answer = client(t)({ url: service.url, tls })
    if (ok) assert.equal((await answer).status, 200, String(i))
    else assert.equal(await reasonOf(answer), 'unreachable', String(i))
    assert.equal(service.requests(), ok ? 1 : 0, String(i))
  }
  const mutual = await serve(
    t,
    createTlsServer({ cert: server.certificate, key: server.key, ca, requestCert: true }, (req, res) => {
      const { subject } = (req.socket as TLSSocket).getPeerCertificate()
      res.end(String(subject.CN))
    }),
    'https',
  )
  const own = { certificate: device.certificate, key: new Secret(device.key) }
  assert.equal(text((await client(t)({ url: mutual.url, tls: { ca, client: own } })).body), 'device-1')
})

test('guarded request: no header splits a request, and those of HTTP itself are not to be set', async (t) => {
  const service = await start(t, (_, res) => res.end())
  const ask = client(t)
  const hostile: Record<string, string>[] = [
    { 'x-user': 'a\r\nx-admin: yes' },
    { 'x-user': 'a\nb' },
    { 'x-user': 'a\0b' },
    { 'x user': 'a' },
    { 'x-user': '\u{1f600}' },
    { Host: 'other.example' },
    { 'Transfer-Encoding': 'chunked' },
    { 'Content-Length': '3' },
  ]
  for (const headers of hostile) {
    const failure = await failureOf(ask({ url: service.url, headers }))
    assert.equal(failure.reason, 'invalid', JSON.stringify(headers))
    assert.ok(!failure.message.includes('admin'))
  }
  assert.equal(service.requests(), 0)
})

test('guarded request: of more than 512 under way one more is refused at once, and places come back', async (t) => {
  const held: (() => void)[] = []
  const service = await start(t, (_, res) => void held.push(() => res.end()))
  const ask = client(t)
  const stop = new AbortController()
  const waiting = Array.from({ length: 512 }, () => reasonOf(ask({ url: service.url, signal: stop.signal })))
  assert.equal(await reasonOf(ask({ url: service.url })), 'busy')
  assert.ok(service.connections() <= 128)
  stop.abort()
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['aborted']))
  const last = ask({ url: service.url })
  while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const answered = setInterval(() => held.splice(0).map((end) => end()), 5)
  assert.equal((await last).status, 200)
  clearInterval(answered)
})
