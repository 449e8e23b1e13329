import { once } from 'node:events'
import { connect } from 'node:net'

/** Headers that Node writes and that say nothing about the answer. */
const OWN_HEADERS = /^(date|connection|keep-alive):/i

/** An answer as it came, but for the headers that are Node's own. */
export interface RawAnswer {
  readonly statusLine: string
  /** In the order in which they came, as they were written. */
  readonly headers: readonly string[]
  readonly body: string
}

/**
 * Sends bytes as they are to a port on loopback and reads one answer with a `content-length`. What is longer than the server reads may
 * break off: the answer counts.
 */
export async function exchange(port: number, request: string | Uint8Array): Promise<RawAnswer> {
  const socket = connect({ port, host: '127.0.0.1' })
  const chunks: Buffer[] = []
  try {
    await once(socket, 'connect')
    socket.on('error', () => {}) // of writing on when the server has answered and closed
    socket.write(request)
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      const answer = answerIn(Buffer.concat(chunks))
      if (answer) return answer
    }
  } catch (err) {
    const answer = answerIn(Buffer.concat(chunks))
    if (answer) return answer
    throw err
  } finally {
    socket.destroy()
  }
  throw new Error(`no whole answer: ${Buffer.concat(chunks).toString('latin1')}`)
}

function answerIn(bytes: Buffer): RawAnswer | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [statusLine = '', ...headers] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const length = Number(headers.map((line) => /^content-length: (\d+)$/i.exec(line)?.[1]).find(Boolean))
  const body = bytes.subarray(end + 4)
  if (!(body.length >= length)) return undefined
  return { statusLine, headers: headers.filter((line) => !OWN_HEADERS.test(line)), body: body.toString('utf8') }
}
