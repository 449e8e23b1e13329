import type { Request } from 'express'
import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../core/base64.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { CustodyShare } from '../vault/vault.ts'
import type { Operation } from './operation.ts'

const ENABLE = 'X-Vault-Enable-MPC'
const KEY = 'X-Vault-Custody-Key'
const SHARE_BYTES = 32

/** Request headers of split custody, for the operations that take them. */
export const enableHeader = {
  [ENABLE]: 'true: a new custody key is made and returned this once; nothing opens the entry without it.',
} as const
export const custodyKeyHeader = {
  [KEY]: 'The custody key of an entry in split custody: 32 bytes in base64url, 43 characters.',
} as const

/** A custody key where it is returned: the only copy. */
export const newCustodyKey = z.string().nullable().meta({
  description:
    'The custody key, 32 bytes in base64url: the only copy. It is not stored and never shown again; without it the entry does not open. null where none was made, and in an answer that is repeated for an Idempotency-Key.',
})

/** A custody key in a body. */
export const custodyKey = z
  .string()
  .refine((text) => fromBase64Url(text)?.length === SHARE_BYTES, 'must be 32 bytes in base64url, 43 characters')
  .meta({ description: 'The custody key: 32 bytes in base64url, as sealing the credential returned it' })

function parseKey(text: string, where: string): CustodyShare {
  const bytes = fromBase64Url(text)
  if (bytes?.length !== SHARE_BYTES) {
    throw new AppError('request.invalid', `${where}: must be 32 bytes in base64url, 43 characters.`)
  }
  return new Secret<Bytes>(bytes)
}

/** Refuses the headers of split custody where they mean nothing: whoever sends one relies on it. */
export function refuseCustodyHeaders({ headers = {} }: Operation, req: Request): void {
  for (const name of [ENABLE, KEY]) {
    if (req.get(name) === undefined || headers[name] !== undefined) continue
    throw new AppError('request.invalid', `${name}: this operation does not take it.`)
  }
}

/** What an `Idempotency-Key` has to tell apart beside the body: a request for a custody key is another request. */
export function custodyMark(req: Request): readonly string[] {
  const value = req.get(ENABLE)
  return value === undefined ? [] : [ENABLE, value]
}

type HeaderReader = { header(name: string): string | undefined }

/** Reads whether a new custody key is asked for. @throws {AppError} `request.invalid` for another word than `true` */
export function parseEnable({ header }: HeaderReader): boolean {
  const value = header(ENABLE)
  if (value !== undefined && value !== 'true') {
    throw new AppError('request.invalid', `${ENABLE}: must be true; leave it out otherwise.`)
  }
  return value === 'true'
}

/**
 * Runs with the custody key that the request brought, if any, and wipes it.
 *
 * @throws {AppError} `request.invalid` for a header that is no custody key
 */
export async function withCustodyKey<T>(
  { header }: HeaderReader,
  run: (share: CustodyShare | undefined) => Promise<T>,
): Promise<T> {
  const value = header(KEY)
  return value === undefined ? run(undefined) : withShare(value, run, KEY)
}

/** Runs with a custody key as the wire spells it, and wipes it. */
export async function withShare<T>(
  text: string,
  run: (share: CustodyShare) => Promise<T>,
  where = 'custody_key',
): Promise<T> {
  const share = parseKey(text, where)
  try {
    return await run(share)
  } finally {
    wipe(share.reveal())
  }
}

/** Writes the share of a new entry for its one answer, and wipes it. */
export function writeCustodyKey(share: CustodyShare | undefined): string | null {
  if (!share) return null
  const text = toBase64Url(share.reveal())
  wipe(share.reveal())
  return text
}
