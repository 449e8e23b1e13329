import { z } from 'zod'
import { fromBase64 } from '../core/base64.ts'
import { type Bytes, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'

/** Members of a body that brings bytes of the caller. */
export const callerData = {
  data: z.string().meta({ description: 'Text, or base64 with `encoding`; the body holds at most 1 MiB' }),
  encoding: z.enum(['utf8', 'base64']).optional().meta({ description: 'How `data` is written; utf8 when absent' }),
}

/**
 * Turns `data` into bytes: text as UTF-8, or canonical base64.
 *
 * @throws {AppError} `request.invalid` for base64 that is not canonical, or text that is not well formed
 */
export function bytesOfCaller({ data, encoding }: { data: string; encoding?: 'utf8' | 'base64' | undefined }): Bytes {
  if (encoding !== 'base64') {
    if (!data.isWellFormed())
      throw new AppError('request.invalid', 'body.data: holds a lone surrogate; send it as base64.')
    return utf8(data)
  }
  const bytes = fromBase64(data)
  if (!bytes)
    throw new AppError(
      'request.invalid',
      'body.data: must be canonical base64 (RFC 4648 section 4, with padding), or send encoding "utf8".',
    )
  return bytes
}

const MAX_CONTEXT_MEMBERS = 16
const CONTEXT_NAME = /^[A-Za-z0-9._:-]{1,64}$/
const MAX_CONTEXT_VALUE = 256

function isContextValue(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_CONTEXT_VALUE && value.isWellFormed()
}

function isContext(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const members = Object.entries(value)
  return (
    members.length <= MAX_CONTEXT_MEMBERS &&
    members.every(([name, member]) => CONTEXT_NAME.test(name) && isContextValue(member))
  )
}

/** What an object is about, in words of the caller: authenticated, and needed again to open it. */
export const encryptionContext = z
  .custom<Readonly<Record<string, string>>>(
    isContext,
    `must be an object of at most ${MAX_CONTEXT_MEMBERS} members: names of 1 to 64 characters A-Z a-z 0-9 . _ : -, values of text, at most ${MAX_CONTEXT_VALUE} characters`,
  )
  .meta({
    id: 'EncryptionContext',
    description: 'Whoever decrypts must say the same; the order of members does not matter. Empty when absent',
    override: {
      type: 'object',
      maxProperties: MAX_CONTEXT_MEMBERS,
      propertyNames: { pattern: CONTEXT_NAME.source },
      additionalProperties: { type: 'string', maxLength: MAX_CONTEXT_VALUE },
    },
  })
