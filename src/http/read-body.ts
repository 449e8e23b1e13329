import type { IncomingMessage } from 'node:http'
import { AppError } from '../core/errors.ts'

export const MAX_BODY_BYTES = 1024 * 1024

const EMPTY = Buffer.alloc(0)

/**
 * Reads a request body of at most 1 MiB, as sent. A body that claims or turns out to be larger is refused at once; the
 * connection is then closed with the answer, so nothing behind it is read.
 *
 * @throws {AppError} `request.too_large`, `request.unsupported_media` (`Content-Encoding`, or not JSON), `request.invalid`
 */
export function readBody(req: IncomingMessage): Promise<Buffer> {
  if (req.headers['content-encoding'] !== undefined) {
    throw new AppError('request.unsupported_media', 'Content-Encoding is not accepted; send the body as it is.')
  }
  const length = req.headers['content-length']
  if (length === '0' || (length === undefined && req.headers['transfer-encoding'] === undefined))
    return Promise.resolve(EMPTY)
  if (Number(length) > MAX_BODY_BYTES) throw tooLarge()
  const type = req.headers['content-type']
  if (type !== undefined && !/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)) {
    throw new AppError('request.unsupported_media', 'Content-Type must be application/json (UTF-8).')
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_BODY_BYTES) {
        req.pause()
        reject(tooLarge())
      } else chunks.push(chunk)
    })
    req.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
    req.once('error', reject)
    req.once('close', () => reject(new AppError('request.invalid', 'The body ended early.')))
  })
}

function tooLarge(): AppError {
  return new AppError('request.too_large', `The body is larger than ${MAX_BODY_BYTES} bytes.`)
}
