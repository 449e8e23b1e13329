import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { duplexPair } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import express from 'express'
import { systemClock } from '#src/core/clock.ts'
import { Secret } from '#src/core/secret.ts'
import { metricsRoute } from '#src/http/metrics-route.ts'
import { createMetrics } from '#src/observability/metrics.ts'
import { type Call, refused } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

/** Everything that a label may be named: buckets, and what Node's own metrics tell apart. */
const LABELS = new Set(['le', 'kind', 'space', 'type', 'version', 'major', 'minor', 'patch'])
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Reads the text format: samples by name and labels, refusing a line that is none. */
function parseMetrics(text: string): { name: string; labels: Record<string, string>; value: number }[] {
  assert.ok(text.endsWith('\n'))
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('# '))
  return lines.map((line) => {
    const [, name = '', inner = '', value] = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(line)
    const labels = Object.fromEntries([...inner.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key, one]) => [key, one]))
    return { name, labels, value: Number(value) }
  })
}

const deps = { metrics: createMetrics(), clock: systemClock }

describe('GET /metrics of a server without METRICS_TOKEN', () => {
  let plant: Plant
  const metrics = (options: Call = {}) =>
    plant.api.call('GET', '/metrics', { key: null, undocumented: true, ...options })

  before(async () => {
    plant = await startPlant()
  })
  after(() => plant?.close())

  test('a caller on this host reads the Prometheus text format, with no key and nothing that a cache would keep', async () => {
    const { status, headers, text } = await metrics()
    assert.equal(status, 200)
    assert.equal(headers.get('content-type'), CONTENT_TYPE)
    assert.equal(headers.get('cache-control'), 'no-store')
    const names = new Set(parseMetrics(text).map(({ name }) => name))
    const ours = [
      'sealwire_signatures_total',
      'sealwire_signing_queue_places',
      'sealwire_pool_connections',
      'sealwire_requests_under_way',
      'sealwire_requests_over_quota_total',
      'sealwire_requests_shed_total',
    ]
    for (const name of [...ours, 'sealwire_pool_stopped_total', 'process_cpu_seconds_total']) {
      assert.ok(names.has(name), name)
    }
  })

  for (const header of ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-IP', 'Forwarded', 'Via']) {
    test(`a request that came through a proxy on this host is refused: ${header}, even empty`, async () => {
      for (const value of ['127.0.0.1', '']) {
        const reply = await refused(metrics({ headers: { [header]: value } }), 401, 'auth.unauthenticated')
        assert.doesNotMatch(reply.text, /sealwire_/)
      }
    })
  }

  test('no API key, the owner of a tenant included, opens it from behind a proxy', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1' }
    await refused(metrics({ headers, key: plant.api.ownerKey }), 401, 'auth.unauthenticated')
  })

  test('nothing but GET is there', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status } = await plant.api.call(method, '/metrics', { undocumented: true })
      assert.ok([404, 405].includes(status), `${method}: ${status}`)
    }
  })

  test('labels are of a fixed set, and nothing that a caller chose, or that names a tenant, is in the text', async () => {
    const canary = 'canary-metrics'
    const { api, integrationId } = plant
    const own = (text: string) => parseMetrics(text).filter(({ name }) => name.startsWith('sealwire_')).length
    const before = own((await metrics()).text)
    const payload = { topic: `sensors/${canary}`, message: canary }
    const body = { integration_id: integrationId, operation: 'publish', payload }
    const published = await api.call('POST', '/api/v2/proxy/outbound', {
      body,
      headers: { 'user-agent': canary, 'idempotency-key': canary },
    })
    assert.ok(published.status < 300)
    for (const path of [`/api/v2/${canary}`, `/api/v2/integrations/${canary}`]) {
      assert.ok((await api.call('GET', path, { undocumented: true })).status >= 400)
    }
    const { text } = await metrics()
    const samples = parseMetrics(text)
    assert.ok(samples.length > 50)
    for (const { name, labels } of samples) {
      for (const label of Object.keys(labels)) assert.ok(LABELS.has(label), `${name} has the label ${label}`)
    }
    assert.doesNotMatch(text, /canary|\b(ten|int|key|rcp|req|msg|vlt)_[0-9A-Za-z]{10}/)
    assert.ok(before > 0)
    assert.equal(own(text), before, 'requests made samples')
  })
})

describe('GET /metrics with METRICS_TOKEN', () => {
  const TOKEN = 'token-of-at-least-16'
  const server = createServer(express().use(metricsRoute(deps, { metricsToken: new Secret(TOKEN), trustProxy: [] })))
  let url: string

  before(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    url = `http://127.0.0.1:${(server.address() as { port: number }).port}/metrics`
  })
  after(() => server.close())

  test('the token opens it, through a proxy too', async () => {
    for (const more of [{}, { 'x-forwarded-for': '192.0.2.1' }]) {
      const res = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}`, ...more } })
      assert.deepEqual([res.status, res.headers.get('content-type')], [200, CONTENT_TYPE])
      await res.text()
    }
  })

  const wrong: [string, Record<string, string>][] = [
    ['none, on this host', {}],
    ['another of the same length', { authorization: 'Bearer token-of-at-least-17' }],
    ['a beginning', { authorization: `Bearer ${TOKEN.slice(0, -1)}` }],
    ['a longer one', { authorization: `Bearer ${TOKEN}0` }],
    ['without its scheme', { authorization: TOKEN }],
    ['another scheme', { authorization: `Basic ${TOKEN}` }],
    ['in the header of API keys', { 'x-api-key': TOKEN }],
  ]
  for (const [why, headers] of wrong) {
    test(`a token that is not it is refused: ${why}`, async () => {
      const res = await fetch(url, { headers })
      const text = await res.text()
      assert.equal(res.status, 401)
      assert.equal(JSON.parse(text).error.code, 'auth.unauthenticated')
      assert.ok(!text.includes('sealwire_') && !text.includes(TOKEN))
    })
  }
})

describe('where a caller of /metrics without a token is', () => {
  /** Gets it over a connection that seems to come from that address. */
  async function statusFrom(
    remoteAddress: string | undefined,
    { host = 'localhost:8080', trustProxy = [] as string[] } = {},
  ): Promise<number> {
    const server = createServer(express().use(metricsRoute(deps, { metricsToken: undefined, trustProxy })))
    const [here, there] = duplexPair()
    server.emit('connection', Object.assign(there, { remoteAddress }))
    const headers = { connection: 'close', host }
    const sent = request({ path: '/metrics', headers, createConnection: () => here }).end()
    const [res] = await once(sent, 'response')
    res.resume()
    await once(res, 'close')
    return res.statusCode
  }

  const cases: [string | undefined, number][] = [
    ['127.0.0.1', 200],
    ['127.9.9.9', 200],
    ['::1', 200],
    ['::ffff:127.0.0.1', 200],
    ['::ffff:10.0.0.1', 401],
    ['10.0.0.1', 401],
    ['128.0.0.1', 401],
    ['::2', 401],
    ['fe80::1%lo', 401],
    ['', 401],
    [undefined, 401],
  ]
  for (const [address, status] of cases) {
    test(`${address ?? 'a connection without an address'}: ${status}`, async () => {
      assert.equal(await statusFrom(address), status)
    })
  }

  const hosts: [string, number][] = [
    ['localhost', 200],
    ['127.0.0.1:8080', 200],
    ['[::1]:8080', 200],
    ['rebound.example:8080', 401],
    ['10.0.0.1', 401],
    ['localhost.rebound.example', 401],
  ]
  for (const [host, status] of hosts) {
    test(`from this host under the name ${host}: ${status}`, async () => {
      assert.equal(await statusFrom('127.0.0.1', { host }), status)
    })
  }

  test('where proxies are trusted, nobody is known to be from here', async () => {
    assert.equal(await statusFrom('127.0.0.1', { trustProxy: ['127.0.0.1'] }), 401)
  })
})
