import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { systemClock } from '#src/core/clock.ts'
import type { AppError } from '#src/core/errors.ts'
import { createDial, type Link } from '#src/outbound/dial.ts'

async function listen(answer: RequestListener): Promise<{ server: Server; port: number }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

function dial(port: number, wsPath = '/mqtt'): Promise<Link> {
  const tls = { serverName: undefined, alpn: [], minVersion: 'TLSv1.2', requirePqc: false } as const
  const target = {
    hosts: [{ hostname: '127.0.0.1', port }],
    protocol: 'ws',
    wsPath,
    tls: { ...tls, caCert: undefined, client: undefined },
  } as const
  return createDial({ allow: ['127.0.0.1/32'], clock: systemClock })(target, {
    tenantId: 'ten_1',
    deadlineMs: systemClock.monotonic() + 1_000,
  })
}

async function codeOf(promise: Promise<Link>): Promise<string> {
  try {
    const link = await promise
    link.close()
    return 'connected'
  } catch (err) {
    return (err as AppError).code
  }
}

test('an upgrade with the subprotocol mqtt is a link, without it or with another one it is not', async () => {
  for (const chosen of ['mqtt', 'chat', undefined]) {
    const { server, port } = await listen((_, res) => res.end())
    const paths: (string | undefined)[] = []
    const upgrades = new WebSocketServer({ server, handleProtocols: () => chosen ?? false })
    upgrades.on('connection', (_, request) => paths.push(request.url))
    assert.equal(await codeOf(dial(port, '/some/path?x=1')), chosen === 'mqtt' ? 'connected' : 'broker.unreachable')
    assert.deepEqual(paths, ['/some/path?x=1'])
    for (const client of upgrades.clients) client.terminate()
    server.close()
  }
})

test('A27: a redirect is not followed, and no other HTTP answer is a link', async () => {
  const visits: string[] = []
  const elsewhere = await listen((req, res) => {
    visits.push(req.url ?? '')
    res.end()
  })
  for (const status of [200, 301, 302, 307, 401, 403, 503]) {
    const { server, port } = await listen((_, res) => {
      res.writeHead(status, { location: `http://127.0.0.1:${elsewhere.port}/mqtt` }).end()
    })
    assert.equal(await codeOf(dial(port)), 'broker.unreachable', `${status}`)
    server.close()
  }
  assert.deepEqual(visits, [])
  elsewhere.server.close()
})
