import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type BrokerHooks, createHookListener } from '#src/http/broker-hooks.ts'
import { createInFlight } from '#src/http/in-flight.ts'
import { listen } from '#src/http/listen.ts'
import { stopServing } from '#src/http/stop-serving.ts'
import { acl, HOOK_SECRET, login, startHooks } from './hook-harness.ts'

async function serve(t: TestContext, hooks: Pick<BrokerHooks, 'open'>) {
  const inFlight = createInFlight()
  const listener = createHookListener({ ...hooks, clientAuthorities: undefined }, inFlight)
  const server = await listen({ host: '127.0.0.1', port: 0 }, listener)
  t.after(() => server.close())
  return { ...server, inFlight }
}

/** Sends bytes as they are; what came back until the other side closed, or `enough` holds. */
async function raw(port: number, bytes: string, enough: (text: string) => boolean = () => false): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (enough(text)) break
  }
  socket.destroy()
  return text
}

const post = (path: string, body: string, headers = '') =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

test('a broker’s connection is kept, its questions are answered in order, and nobody may keep an answer', async (t) => {
  const hooks = await startHooks(t)
  const { port } = await serve(t, hooks.auth)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  const path = `/mqtt/${HOOK_SECRET}/acl`
  const questions = ['plant/alice/a', 'plant/bob/a', 'plant/alice/b'].map((topic) =>
    post(path, JSON.stringify(acl('alice', 'c1', topic))),
  )
  const text = await raw(port, questions.join(''), (all) => all.split('HTTP/1.1 ').length === 4 && all.endsWith('}'))
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['200', '403', '200'],
  )
  assert.equal(text.match(/cache-control: no-store/g)?.length, 3)
  for (const name of ['x-powered-by', 'etag', 'set-cookie', 'server:'])
    assert.ok(!text.toLowerCase().includes(name), name)
  assert.ok(!text.includes(HOOK_SECRET))
})

test('GET with a body is read (go-auth’s http_method GET), and a chunked body too', async (t) => {
  const hooks = await startHooks(t)
  const { port } = await serve(t, hooks.auth)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  const body = JSON.stringify(acl('alice', 'c1', 'plant/alice/a'))
  const asked = post(`/mqtt/${HOOK_SECRET}/acl`, body)
  assert.match(await raw(port, asked.replace('POST', 'GET'), (all) => all.endsWith('}')), /^HTTP\/1\.1 200 /)
  const chunked = `POST /mqtt/${HOOK_SECRET}/acl HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`
  const parts = [body.slice(0, 5), body.slice(5)].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')
  assert.match(await raw(port, `${chunked}${parts}0\r\n\r\n`, (all) => all.endsWith('}')), /^HTTP\/1\.1 200 /)
})

test('a body of 256 KiB is read, one byte more is refused without it, and the connection ends', async (t) => {
  const hooks = await startHooks(t)
  const { port } = await serve(t, hooks.auth)
  const most = 256 * 1024
  const bodyOf = (size: number) => {
    const empty = JSON.stringify(login('alice', 'c1', ''))
    return JSON.stringify(login('alice', 'c1', 'x'.repeat(size - empty.length)))
  }
  const path = `/mqtt/${HOOK_SECRET}/user`
  assert.match(
    await raw(port, post(path, bodyOf(most)), (all) => all.endsWith('}')),
    /^HTTP\/1\.1 403 /,
    'a wrong password',
  )
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${most + 1}\r\n\r\n`
  const refused = await raw(port, head) // not a byte of the body
  assert.match(refused, /^HTTP\/1\.1 413 [\s\S]*connection: close/i)
  const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`
  const chunked = `POST ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(5)}`
  assert.match(await raw(port, chunked), /^HTTP\/1\.1 413 /, 'as soon as it is too much')
})

test('a stranger is answered before its body is read, and the connection ends', async (t) => {
  const hooks = await startHooks(t)
  const { port } = await serve(t, hooks.auth)
  const head = 'POST /mqtt/user HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n'
  assert.match(await raw(port, head), /^HTTP\/1\.1 401 [\s\S]*connection: close/i)
  assert.equal(hooks.database.statements, 0)
})

test('questions beyond what is answered at once are refused, of one hook before those of others, and there is room again afterwards', async (t) => {
  const waiting: (() => void)[] = []
  const reply = (status: number) => ({ status, headers: {}, body: '' })
  const shares = { slow: { underWay: 0 }, other: { underWay: 0 } }
  const { port } = await serve(t, {
    open: ({ url }) => ({
      share: url === '/mqtt/hooks/other/user' ? shares.other : shares.slow,
      answer: () => new Promise((resolve) => waiting.push(() => resolve(reply(200)))),
      refuse: () => reply(503),
    }),
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 2_000 })
  t.after(() => agent.destroy())
  const ask = (name: 'slow' | 'other') =>
    new Promise<number>((resolve, reject) => {
      const path = `/mqtt/hooks/${name}/user`
      const req = request({ port, host: '127.0.0.1', method: 'POST', path, agent }, (res) => {
        res.resume()
        res.on('end', () => resolve(res.statusCode ?? 0))
      })
      req.on('error', reject)
      req.end()
    })
  const come = async (count: number) => {
    while (waiting.length < count) await new Promise((resolve) => setImmediate(resolve))
  }
  const first = Array.from({ length: 768 }, () => ask('slow'))
  await come(768)
  assert.equal(await ask('slow'), 503)
  for (let i = 0; i < 256; i++) first.push(ask('other'))
  await come(1_024)
  assert.equal(await ask('other'), 503)
  for (const answer of waiting.splice(0)) answer()
  assert.deepEqual(new Set(await Promise.all(first)), new Set([200]))
  assert.deepEqual(shares, { slow: { underWay: 0 }, other: { underWay: 0 } })
  const next = ask('slow')
  await come(1)
  waiting[0]?.()
  assert.equal(await next, 200)
})

test('a stop waits for the questions of brokers, which take as long as their hooks let them', async (t) => {
  const reply = (status: number) => ({ status, headers: {}, body: 'answered' })
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<ReturnType<typeof reply>>()
  const { port, inFlight, ...http } = await serve(t, {
    open: () => ({
      share: { underWay: 0 },
      answer() {
        asked.resolve()
        return answer.promise
      },
      refuse: () => reply(503),
    }),
  })
  const text = raw(port, post('/mqtt/user', '{}'))
  await asked.promise
  const stopped = stopServing({ http, inFlight, endBrokers: async () => {} }, {})
  setTimeout(() => answer.resolve(reply(200)), 1_000) // longer than what is left is given when all is done
  assert.match(await text, /^HTTP\/1\.1 200 [\s\S]*answered$/)
  await stopped
})

test('a broker that goes away while it asks leaves nothing behind', async (t) => {
  const hooks = await startHooks(t)
  const { port } = await serve(t, hooks.auth)
  const path = `/mqtt/${HOOK_SECRET}/user`
  for (let i = 0; i < 1_100; i++) {
    const socket = connect(port, '127.0.0.1')
    await new Promise<void>((resolve) => {
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{`, () => resolve())
    })
    socket.resetAndDestroy()
  }
  const body = JSON.stringify(login('alice', 'c1'))
  let text = ''
  const start = performance.now()
  do {
    text = await raw(port, post(path, body), (all) => all.endsWith('}'))
    assert.ok(performance.now() - start < 10_000, text)
  } while (!text.startsWith('HTTP/1.1 200'))
})
