import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { readBody } from '#src/http/read-body.ts'

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
