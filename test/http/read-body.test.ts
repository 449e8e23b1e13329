import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { judgeBodyHeaders, MAX_BODY_BYTES, readBody } from '#src/http/read-body.ts'

/** A request whose sender has gone before anybody reads its body. */
async function abandoned(sent: string): Promise<IncomingMessage> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = request({ port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 10 } })
  client.on('error', () => undefined)
  client.write(sent)
  const [req, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  const gone = once(res, 'close')
  client.destroy()
  await gone
  server.close()
  return req
}

for (const sent of ['01234', '0123456789']) {
  test(`a sender who goes while its key is looked up is refused, with ${sent.length} of 10 bytes sent`, async () => {
    await assert.rejects(readBody(await abandoned(sent)), { code: 'request.invalid' })
  })
}

/** What a server made of the bytes of one connection. */
interface Received {
  /** Code of the refusal, or the size of the body, of every request. */
  readonly answers: readonly (string | number)[]
  /** Bytes that were read from the connection. */
  readonly read: number
}

/** Sends bytes as they are, until the server has had enough, to a server that reads bodies and closes after a refusal. */
async function receive(head: readonly string[], body: Iterable<Buffer>): Promise<Received> {
  const answers: (string | number)[] = []
  let read = 0
  const server = createServer((req, res) => {
    const judge = async () => {
      judgeBodyHeaders(req)
      return (await readBody(req)).length
    }
    judge().then(
      (size) => {
        answers.push(size)
        res.end()
      },
      (err: unknown) => {
        answers.push(err instanceof AppError ? err.code : String(err))
        res.writeHead(400, { connection: 'close' }).end()
      },
    )
  })
  server.on('clientError', (err: NodeJS.ErrnoException, socket) => {
    answers.push(err.code ?? 'error')
    socket.destroy()
  })
  server.on('connection', (socket) => {
    socket.once('close', () => {
      read = socket.bytesRead
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve)) // `once` of events rejects at an error
  socket.on('error', () => undefined) // a server that has had enough resets
  socket.resume()
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${head.join('\r\n')}\r\n\r\n`)
  for (const chunk of body) {
    if (socket.destroyed) break
    if (!socket.write(chunk)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  socket.end()
  await closed
  server.close()
  await once(server, 'close')
  return { answers, read }
}

const bytes = (size: number) => Buffer.alloc(size, '!')
function* chunked(total: number, size = 64 * 1024): Iterable<Buffer> {
  for (let sent = 0; sent < total; sent += size) {
    const part = Math.min(size, total - sent)
    yield Buffer.concat([Buffer.from(`${part.toString(16)}\r\n`), bytes(part), Buffer.from('\r\n')])
  }
  yield Buffer.from('0\r\n\r\n')
}
const LENGTH = (size: number) => [`content-length: ${size}`]
const CHUNKED = ['transfer-encoding: chunked']

for (const [how, head, body] of [
  ['Content-Length', LENGTH(MAX_BODY_BYTES), [bytes(MAX_BODY_BYTES)]],
  ['chunks', CHUNKED, chunked(MAX_BODY_BYTES)],
] as const) {
  test(`a body of exactly 1 MiB, by ${how}, is read`, async () => {
    assert.deepEqual((await receive(head, body)).answers, [MAX_BODY_BYTES])
  })
}

test('a body of one byte more by Content-Length is refused with nothing of it read but what came with the headers', async () => {
  const { answers, read } = await receive(LENGTH(MAX_BODY_BYTES + 1), [bytes(MAX_BODY_BYTES + 1)])
  assert.deepEqual(answers, ['request.too_large'])
  assert.ok(read <= 128 * 1024, `${read} bytes read`)
})

test('one of a hundred MiB in chunks is refused when the limit is passed, with at most 192 KiB more read', async () => {
  const { answers, read } = await receive(CHUNKED, chunked(100 * MAX_BODY_BYTES))
  assert.deepEqual(answers, ['request.too_large'])
  assert.ok(read > MAX_BODY_BYTES)
  const paused = 64 * 1024 // what a paused request still takes in before Node stops the socket
  const reading = 64 * 1024 // the read that brought the byte too many
  const framing = 64 * 1024 // the sizes of the chunks, and the headers
  assert.ok(read <= MAX_BODY_BYTES + reading + paused + framing, `${read} bytes read`)
})

const lies: readonly { how: string; head: readonly string[]; body: Iterable<Buffer>; answers: readonly unknown[] }[] = [
  { how: 'a length of more than comes', head: LENGTH(1000), body: [bytes(10)], answers: [/^HPE_/, 'request.invalid'] },
  { how: 'a length of less than comes', head: LENGTH(10), body: [bytes(20)], answers: ['10', 'HPE_INVALID_METHOD'] },
  { how: 'two lengths', head: ['content-length: 10', 'content-length: 20'], body: [bytes(20)], answers: [/^HPE_/] },
  { how: 'a length and chunks', head: [...CHUNKED, 'content-length: 10'], body: chunked(10), answers: [/^HPE_/] },
  { how: 'a negative length', head: ['content-length: -1'], body: [bytes(10)], answers: [/^HPE_/] },
  { how: 'a length in hexadecimal', head: ['content-length: 0x10'], body: [bytes(16)], answers: [/^HPE_/] },
]
for (const { how, head, body, answers } of lies) {
  test(`${how} is no body that anybody believes`, async () => {
    const got = (await receive(head, body)).answers.map(String).sort() // who answers first is all the same
    assert.equal(got.length, answers.length, JSON.stringify(got))
    for (const [i, answer] of answers.entries()) {
      if (answer instanceof RegExp) assert.match(got[i] ?? '', answer)
      else assert.equal(got[i], answer)
    }
  })
}
