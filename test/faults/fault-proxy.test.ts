import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort, startBlackHole } from '#test/support/black-hole.ts'
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from '#test/support/fault-proxy.ts'

/** Writes back what comes, and keeps how its connections ended. */
async function startEcho() {
  const sockets: Socket[] = []
  const ends: string[] = []
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', (err: NodeJS.ErrnoException) => void ends.push(err.code ?? ''))
    socket.on('end', () => void ends.push('end'))
    socket.on('data', (chunk: Buffer) => void socket.write(chunk))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    ends,
    stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function setUp(options: Omit<FaultProxyOptions, 'toPort'> = {}) {
  const echo = await startEcho()
  const proxy = await startFaultProxy({ toPort: echo.port, ...options })
  const clients: Socket[] = []
  return {
    echo,
    proxy,
    async client() {
      const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true })
      clients.push(socket)
      const got = { bytes: Buffer.alloc(0), chunks: 0, end: '' }
      socket.on('data', (chunk: Buffer) => {
        got.bytes = Buffer.concat([got.bytes, chunk])
        got.chunks++
      })
      socket.on('end', () => {
        got.end ||= 'end'
      })
      socket.on('error', (err: NodeJS.ErrnoException) => {
        got.end ||= err.code ?? 'error'
      })
      await once(socket, 'connect')
      return { socket, got }
    },
    async [Symbol.asyncDispose]() {
      for (const socket of clients) socket.destroy()
      await proxy.stop()
      echo.stop()
    },
  }
}

async function until(happened: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!happened()) {
    assert.ok(performance.now() < end, `it did not happen: ${String(happened)}`)
    await delay(2)
  }
}

const text = Buffer.from('0123456789'.repeat(20))

test('without faults the proxy passes every byte, both ends, and counts', async () => {
  await using at = await setUp()
  const { socket, got } = await at.client()
  socket.end(text)
  await until(() => got.end === 'end')
  assert.deepEqual(got.bytes, text)
  const { up, down } = at.proxy
  assert.deepEqual([up.bytesRead, up.bytesPassed, down.bytesRead, down.bytesPassed], Array(4).fill(text.length))
  assert.deepEqual([up.cuts, down.cuts, up.stalls, down.stalls, up.corrupted, down.corrupted], Array(6).fill(0))
  await until(() => at.proxy.open === 0)
  assert.deepEqual(at.echo.ends, ['end'])
})

test('latency holds every piece, in the direction that was asked and in no other', async () => {
  await using at = await setUp({ down: { latencyMs: 80 } })
  const { socket, got } = await at.client()
  const started = performance.now()
  socket.write('a')
  await until(() => at.proxy.up.bytesPassed === 1)
  await until(() => got.bytes.length === 1)
  assert.ok(performance.now() - started >= 79)
})

test('bandwidth: so many bytes a second', async () => {
  await using at = await setUp({ up: { bytesPerS: 1_000 } })
  const { socket, got } = await at.client()
  const started = performance.now()
  socket.write(text)
  await until(() => got.bytes.length === text.length)
  const tookMs = performance.now() - started
  assert.ok(tookMs >= 190, `${tookMs} ms for 200 bytes at 1,000 a second`)
  assert.ok(at.proxy.up.writes >= 10)
})

test('a slicer writes pieces of one byte, and loses none', async () => {
  await using at = await setUp({ up: { sliceBytes: 1 }, down: { sliceBytes: 7 } })
  const { socket, got } = await at.client()
  socket.write(text)
  await until(() => got.bytes.length === text.length)
  assert.deepEqual(got.bytes, text)
  assert.equal(at.proxy.up.writes, text.length)
  assert.ok(at.proxy.down.writes >= text.length / 7)
})

for (const atByte of [0, 4, 199]) {
  test(`byte ${atByte} is changed, and no other, however the bytes were written`, async () => {
    await using at = await setUp({ up: { corrupt: { atByte, xor: 0x80 } } })
    const { socket, got } = await at.client()
    for (const byte of text) socket.write(Buffer.of(byte))
    await until(() => got.bytes.length === text.length)
    const wrong = [...text.keys()].filter((i) => got.bytes[i] !== text[i])
    assert.deepEqual(wrong, [atByte])
    assert.equal(got.bytes[atByte], (text[atByte] as number) ^ 0x80)
    assert.equal(at.proxy.up.corrupted, 1)
  })
}

for (const afterBytes of [0, 1, 57, 200]) {
  for (const direction of ['up', 'down'] as const) {
    test(`${direction}: exactly ${afterBytes} bytes are passed, then the connection is closed for both`, async () => {
      await using at = await setUp({ [direction]: { cut: { afterBytes, how: 'close' } } })
      const { socket, got } = await at.client()
      socket.write(text)
      await until(() => got.end !== '')
      assert.equal(at.proxy[direction].bytesPassed, afterBytes)
      assert.equal(at.proxy[direction].cuts, 1)
      if (direction === 'down') assert.deepEqual(got.bytes, text.subarray(0, afterBytes))
      await until(() => at.proxy.open === 0)
    })
  }
}

test('a cut with reset is a reset for both', async () => {
  await using at = await setUp({ up: { cut: { afterBytes: 3, how: 'reset' } } })
  const { socket, got } = await at.client()
  socket.write(text)
  await until(() => got.end !== '' && at.echo.ends.length === 1)
  assert.deepEqual([got.end, at.echo.ends], ['ECONNRESET', ['ECONNRESET']])
})

test('a cut with stall is silence for good: no byte, no end, both sockets open', async () => {
  await using at = await setUp({ down: { cut: { afterBytes: 5, how: 'stall' } } })
  const { socket, got } = await at.client()
  socket.write(text)
  await until(() => at.proxy.down.stalls === 1)
  socket.write(text)
  await until(() => at.proxy.up.bytesPassed === 2 * text.length)
  at.echo.sockets[0]?.end()
  await delay(50)
  assert.deepEqual([got.bytes.length, got.end, at.proxy.open], [5, '', 1])
})

test('stalled bytes are held and come in order when it ends', async () => {
  await using at = await setUp({ up: { stalled: true } })
  const { socket, got } = await at.client()
  socket.write(text)
  await until(() => at.proxy.up.stalls === 1)
  await delay(30)
  assert.deepEqual([at.proxy.up.bytesPassed, got.bytes.length], [0, 0])
  at.proxy.change('up', { stalled: false })
  await until(() => got.bytes.length === text.length)
  assert.deepEqual(got.bytes, text)
})

test('half-open: the proxy stops reading, and neither side hears of the end of the other', async () => {
  await using at = await setUp()
  const { socket, got } = await at.client()
  socket.write('a')
  await until(() => got.bytes.length === 1)
  at.proxy.halfOpen()
  const much = Buffer.alloc(16 << 20)
  socket.write(much)
  await until(() => at.proxy.up.stalls === 1)
  await delay(50)
  assert.ok(socket.writableLength > 0, 'the kernel took what it could, and nobody reads')
  assert.ok(at.proxy.up.bytesRead < much.length / 2)
  at.echo.sockets[0]?.end()
  await delay(50)
  assert.deepEqual([got.end, at.echo.ends], ['', []])
})

test('a cut with half-open silences both directions of that connection', async () => {
  await using at = await setUp({
    plan: (i) => (i === 0 ? { up: { cut: { afterBytes: 1, how: 'half-open' } } } : undefined),
  })
  const [dead, alive] = [await at.client(), await at.client()]
  dead.socket.write(text)
  alive.socket.write(text)
  await until(() => alive.got.bytes.length === text.length && at.proxy.up.cuts === 1)
  at.echo.sockets[0]?.write('to the dead')
  await delay(30)
  assert.deepEqual([dead.got.bytes.length <= 1, dead.got.end], [true, ''])
})

test('each connection has the faults of its plan', async () => {
  await using at = await setUp({ plan: (i) => ({ down: { cut: { afterBytes: i, how: 'close' } } }) })
  for (const expected of [0, 1, 2]) {
    const { socket, got } = await at.client()
    socket.write(text)
    await until(() => got.end !== '')
    assert.equal(got.bytes.length, expected)
  }
  assert.equal(at.proxy.accepted, 3)
})

for (const how of ['close', 'reset'] as const) {
  test(`all connections end at once: ${how}`, async () => {
    await using at = await setUp()
    const clients = [await at.client(), await at.client()]
    for (const { socket } of clients) socket.write('a')
    await until(() => clients.every(({ got }) => got.bytes.length === 1))
    assert.equal(at.proxy.endAll(how), 2)
    await until(() => clients.every(({ got }) => got.end !== ''))
    const expected = how === 'reset' ? 'ECONNRESET' : 'end'
    assert.deepEqual(new Set(clients.map(({ got }) => got.end)), new Set([expected]))
    await until(() => at.proxy.open === 0)
  })
}

test('a server that is not there is a connection that is reset', async () => {
  const proxy: FaultProxy = await startFaultProxy({ toPort: await closedPort() })
  const socket = connect(proxy.port, '127.0.0.1')
  const [err] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(err.code, 'ECONNRESET')
  await proxy.stop()
})

test('a black hole neither accepts nor refuses; a closed port refuses', async () => {
  const hole = await startBlackHole()
  try {
    assert.equal(await hole.swallows(300), true)
  } finally {
    await hole.stop()
  }
  const socket = connect(await closedPort(), '127.0.0.1')
  const [err] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(err.code, 'ECONNREFUSED')
})
