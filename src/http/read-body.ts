import type { IncomingMessage } from 'node:http'
import { AppError } from '../core/errors.ts'

export const MAX_BODY_BYTES = 1024 * 1024

const EMPTY = Buffer.alloc(0)
const JSON_TYPE = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i

function tooLarge(): AppError {
  return new AppError('request.too_large', `The body is larger than ${MAX_BODY_BYTES} bytes.`)
}

function endedEarly(): AppError {
  return new AppError('request.invalid', 'The body ended early.')
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Bytes that a body may have, by its headers; one that does not say may have all that are allowed. */
export function announcedBytes({ headers }: IncomingMessage): number {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : MAX_BODY_BYTES
}

/**
 * Refuses what the headers alone forbid, before a byte of the body is kept.
 *
 * @throws {AppError} `request.too_large`, `request.unsupported_media` (`Content-Encoding`, or not JSON)
 */
export function judgeBodyHeaders(req: IncomingMessage): void {
  const { headers } = req
  if (headers['content-encoding'] !== undefined) {
    throw new AppError('request.unsupported_media', 'Content-Encoding is not accepted; send the body as it is.')
  }
  if (!hasBody(req)) return
  if (Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  if (headers['content-type'] !== undefined && !JSON_TYPE.test(headers['content-type'])) {
    throw new AppError('request.unsupported_media', 'Content-Type must be application/json (UTF-8).')
  }
}

/**
 * Reads a request body of at most 1 MiB, as sent. One that turns out to be larger is refused at once; the connection is
 * then closed with the answer, so nothing behind it is read.
 *
 * @throws {AppError} `request.too_large`, `request.invalid` when the sender went away
 */
export function readBody(req: IncomingMessage): Promise<Buffer> {
  if (!hasBody(req)) return Promise.resolve(EMPTY)
  if (req.destroyed) return Promise.reject(endedEarly()) // 'close' came before anybody listened, and comes no more
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    let isWhole = false
    const ended = () => {
      if (!isWhole) reject(endedEarly())
    }
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_BODY_BYTES) {
        req.pause()
        reject(tooLarge())
      } else chunks.push(chunk)
    })
    req.once('end', () => {
      isWhole = true
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
    })
    req.once('error', ended)
    req.once('close', ended)
  })
}
