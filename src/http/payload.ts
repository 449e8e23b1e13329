import { fromBase64 } from '../core/base64.ts'
import { type Bytes, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'

export type Encoding = 'utf8' | 'base64' | 'json'

/**
 * Turns `message` into the bytes of a PUBLISH: text as UTF-8, canonical base64, or the compact JSON of any value. `member`
 * is where the request has it.
 *
 * @throws {AppError} `request.invalid` for text that is not well formed, base64 that is not canonical, or no text where text is meant
 */
export function encodePayload(message: unknown, encoding: Encoding = 'utf8', member = 'payload.message'): Bytes {
  if (encoding === 'json') return utf8(JSON.stringify(message))
  if (typeof message !== 'string') {
    throw new AppError('request.invalid', `${member}: must be a string, or send encoding "json".`)
  }
  if (encoding === 'base64') {
    const bytes = fromBase64(message)
    if (!bytes)
      throw new AppError('request.invalid', `${member}: must be canonical base64 (RFC 4648 section 4, with padding).`)
    return bytes
  }
  if (!message.isWellFormed())
    throw new AppError('request.invalid', `${member}: holds a lone surrogate; send it as base64.`)
  return utf8(message)
}
