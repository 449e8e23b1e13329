import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import type { AppError } from '#src/core/errors.ts'
import { protocols } from '#src/outbound/destination.ts'
import { createDial, type DialDeps, type DialTarget } from '#src/outbound/dial.ts'
import { hosts, names } from './hosts.ts'

const tls: DialTarget['tls'] = {
  serverName: undefined,
  alpn: [],
  minVersion: 'TLSv1.2',
  requirePqc: false,
  caCert: undefined,
  client: undefined,
}

/** Listens on every loopback address and notes who came. */
let canary: Server
let port = 0
const visitors: Socket[] = []

before(async () => {
  canary = createServer((socket) => {
    visitors.push(socket)
    socket.on('error', () => {})
  }).listen(0, '::')
  await once(canary, 'listening')
  port = (canary.address() as AddressInfo).port
})
after(() => {
  for (const socket of visitors) socket.destroy()
  canary.close()
})

function dialled(options: Partial<DialDeps>, target: Partial<DialTarget> & { hostname: unknown }, waitMs = 2_000) {
  const dial = createDial({ allow: [], clock: systemClock, ...options })
  const full = { port, protocol: 'mqtt' as const, tls, wsPath: '/mqtt', ...target }
  return dial(full, { deadlineMs: systemClock.monotonic() + waitMs })
}

async function codeOf(promise: ReturnType<typeof dialled>): Promise<string> {
  try {
    const link = await promise
    link.close()
    return 'connected'
  } catch (err) {
    return (err as AppError).code
  }
}

const neverAsked = () => Promise.reject(new Error('no name is resolved here'))

test('A20: sixty hosts and more are refused before anything is dialled, over each transport', async () => {
  assert.ok(hosts.length >= 60)
  const before = visitors.length
  for (const protocol of protocols) {
    const codes = await Promise.all(hosts.map(({ host: hostname }) => codeOf(dialled({}, { hostname, protocol }))))
    const wanted = hosts.map(({ answer }) => (answer === 'invalid' ? 'request.invalid' : 'destination.not_allowed'))
    assert.deepEqual(codes, wanted)
  }
  assert.equal(visitors.length, before)
})

test('A20: names are judged by every address they resolve to', async () => {
  assert.ok(names.length > 0)
  const before = visitors.length
  for (const { host: hostname, answers, why } of names) {
    const resolve = () => Promise.resolve(answers)
    assert.equal(await codeOf(dialled({ resolve }, { hostname })), 'destination.not_allowed', why)
  }
  assert.equal(visitors.length, before)
})

test('a private destination is dialled once the operator allows its network, and only that network', async () => {
  const allow = ['127.0.0.0/8']
  assert.equal(await codeOf(dialled({ allow, resolve: neverAsked }, { hostname: '127.0.0.1' })), 'connected')
  assert.equal(await codeOf(dialled({ allow }, { hostname: 'localhost' })), 'connected')
  assert.equal(await codeOf(dialled({ allow }, { hostname: '::1' })), 'destination.not_allowed')
  assert.equal(await codeOf(dialled({ allow: ['::1/128'] }, { hostname: '::1' })), 'connected')
})

test('what is forbidden stays forbidden when the operator allows everything', async () => {
  const allow = ['0.0.0.0/0', '::/0']
  for (const hostname of ['169.254.169.254', '0.0.0.0', '224.0.0.1', '::', 'fe80::1', '::ffff:127.0.0.1']) {
    assert.equal(await codeOf(dialled({ allow }, { hostname })), 'destination.not_allowed', hostname)
  }
  assert.equal(await codeOf(dialled({ allow }, { hostname: '127.0.0.1' })), 'connected')
})

test('our own listeners are never dialled, in whatever way they are bound', async () => {
  const allow = ['127.0.0.0/8', '::1/128']
  const own = (listener: { address?: string; port: number }) => ({ allow, ownListeners: () => [listener] })
  for (const listener of [
    { port },
    { port, address: '0.0.0.0' },
    { port, address: '::' },
    { port, address: '127.0.0.1' },
  ]) {
    assert.equal(await codeOf(dialled(own(listener), { hostname: '127.0.0.1' })), 'destination.not_allowed')
  }
  assert.equal(await codeOf(dialled(own({ port: port + 1 }), { hostname: '127.0.0.1' })), 'connected')
  assert.equal(await codeOf(dialled(own({ port, address: '127.0.0.2' }), { hostname: '127.0.0.1' })), 'connected')
})

test('A23: a name is resolved once, and the connection goes to the address that was judged', async () => {
  let asked = 0
  const resolve = () => Promise.resolve([asked++ === 0 ? '127.0.0.2' : '169.254.169.254'])
  const link = await dialled({ allow: ['127.0.0.2/32'], resolve }, { hostname: 'rebinding.example' })
  assert.equal((link.stream as Socket).remoteAddress, '127.0.0.2')
  assert.equal(asked, 1)
  link.close()
})

test('answers that are not allowed are left out, the others are tried in their order', async () => {
  const resolve = () => Promise.resolve(['10.9.9.9', '127.0.0.3'])
  const link = await dialled({ allow: ['127.0.0.0/8'], resolve }, { hostname: 'two.example' })
  assert.equal((link.stream as Socket).remoteAddress, '127.0.0.3')
  link.close()
})

test('every refusal takes the same time, a literal and a name alike', async () => {
  const timeOf = async (hostname: string) => {
    const started = performance.now()
    assert.equal(
      await codeOf(dialled({ resolve: () => Promise.resolve(['10.0.0.1']) }, { hostname })),
      'destination.not_allowed',
    )
    return performance.now() - started
  }
  for (const hostname of ['127.0.0.1', '169.254.169.254', 'name.example', '2130706433']) {
    assert.ok((await timeOf(hostname)) >= 38, hostname)
  }
})

test('F1, F33: a closed port, a name without answer and a resolver that hangs are one text', async () => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const closedPort = (closed.address() as AddressInfo).port
  await once(closed.close(), 'close')
  const allow = ['127.0.0.0/8']
  const failures = await Promise.allSettled([
    dialled({ allow }, { hostname: '127.0.0.1', port: closedPort }),
    dialled({ resolve: () => Promise.reject(new Error('ENOTFOUND')) }, { hostname: 'nowhere.example' }),
    dialled({ resolve: () => Promise.resolve([]) }, { hostname: 'empty.example' }),
    dialled({ resolve: () => new Promise(() => {}) }, { hostname: 'slow.example' }, 100),
  ])
  const texts = failures.map(
    (failure) => failure.status === 'rejected' && `${failure.reason.code} ${failure.reason.message}`,
  )
  assert.deepEqual(texts, Array(4).fill('broker.unreachable The broker could not be reached.'))
})

for (const protocol of ['mqtts', 'wss', 'ws'] as const) {
  test(`F3: a peer that accepts and says nothing to ${protocol} is given up at the deadline`, async () => {
    const started = performance.now()
    const target = { hostname: '127.0.0.1', protocol }
    assert.equal(await codeOf(dialled({ allow: ['127.0.0.0/8'] }, target, 150)), 'broker.unreachable')
    assert.ok(performance.now() - started < 1_500)
  })
}
