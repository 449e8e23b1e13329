import assert from 'node:assert/strict'
import { Duplex, Writable } from 'node:stream'
import { test } from 'node:test'
import { feedInPieces } from '#src/messaging/inbound-feed.ts'

/** A stream that says what it is given, read as mqtt.js reads; each piece that came through, with the turn it came in. */
function setUp(take: (chunk: Uint8Array) => boolean = () => true) {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const pieces: { bytes: Buffer; turn: number }[] = []
  let turn = 0
  const count = () => {
    turn++
    if (!stream.destroyed) setImmediate(count)
  }
  setImmediate(count)
  feedInPieces(stream, take)
  stream.pipe(
    new Writable({
      write(bytes: Buffer, _encoding, done) {
        pieces.push({ bytes, turn })
        process.nextTick(done)
      },
    }),
  )
  return { stream, pieces, turns: () => turn }
}

async function settled(at: ReturnType<typeof setUp>, length: number): Promise<Buffer> {
  const all = () => Buffer.concat(at.pieces.map(({ bytes }) => bytes))
  for (let i = 0; i < 10_000 && all().length < length; i++) await new Promise(setImmediate)
  return all()
}

test('a long chunk is passed on whole and in order, in pieces of 8 KiB, each in a turn of the event loop of its own', async () => {
  const at = setUp()
  const sent = [Buffer.alloc(65_536, 'a'), Buffer.alloc(10, 'b'), Buffer.alloc(20_000, 'c'), Buffer.alloc(1, 'd')]
  for (const chunk of sent) at.stream.push(chunk)
  const came = await settled(at, 85_547)
  assert.deepEqual(came, Buffer.concat(sent))
  const long = at.pieces.filter(({ bytes }) => bytes[0] === 97)
  assert.deepEqual(
    long.map(({ bytes }) => bytes.length),
    Array(8).fill(8_192),
  )
  assert.equal(new Set(long.map(({ turn }) => turn)).size, 8)
  at.stream.destroy()
})

test('a short chunk is passed on at once', () => {
  const at = setUp()
  at.stream.emit('data', Buffer.of(1, 2, 3))
  assert.deepEqual(at.pieces, [{ bytes: Buffer.of(1, 2, 3), turn: 0 }])
  at.stream.destroy()
})

test('what is refused, and what comes after it, is not passed on', async () => {
  const seen: number[] = []
  const at = setUp((chunk) => {
    seen.push(chunk.length)
    return chunk.length !== 2
  })
  for (const length of [1, 2, 3]) at.stream.push(Buffer.alloc(length))
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.deepEqual(seen, [1, 2])
  assert.equal(Buffer.concat(at.pieces.map(({ bytes }) => bytes)).length, 1)
  at.stream.destroy()
})

test('once the stream is destroyed nothing more is passed on', async () => {
  const at = setUp()
  at.stream.push(Buffer.alloc(65_536))
  await settled(at, 8_192)
  at.stream.destroy()
  const { length } = at.pieces
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
  assert.ok(length >= 1 && length < 8)
  assert.equal(at.pieces.length, length)
})
