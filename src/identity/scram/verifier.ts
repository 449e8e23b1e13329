import { createHash, createHmac, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { z } from 'zod'
import { fromBase64, toBase64 } from '../../core/base64.ts'
import { type Bytes, copyBytes, utf8, wipe } from '../../core/bytes.ts'
import { saslPrep } from './saslprep.ts'

export const scramMethods = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const
export type ScramMethod = (typeof scramMethods)[number]

export type ScramHash = 'sha256' | 'sha512'
export const scramHashes: Readonly<Record<ScramMethod, { hash: ScramHash; sizeBytes: number }>> = {
  'SCRAM-SHA-256': { hash: 'sha256', sizeBytes: 32 },
  'SCRAM-SHA-512': { hash: 'sha512', sizeBytes: 64 },
}

/** RFC 7677 §4 asks for at least 4,096; the upper bound keeps a device from being held for minutes by one line of a file. */
export const SCRAM_ITERATIONS = { min: 4_096, usual: 16_384, max: 1_000_000 } as const
/** A salt of another length than usual tells that its user exists; see `createDecoy`. */
export const SCRAM_SALT_BYTES = { min: 16, usual: 16, max: 64 } as const

/** What a server keeps of a password (RFC 5802 §5): it checks a client with it and cannot act as one. */
export interface ScramVerifier {
  readonly method: ScramMethod
  readonly iterations: number
  readonly salt: Bytes
  readonly storedKey: Bytes
  readonly serverKey: Bytes
}

const FORM =
  /^(SCRAM-SHA-256|SCRAM-SHA-512)\$([1-9][0-9]{0,6}):([A-Za-z0-9+/=]{24,88})\$([A-Za-z0-9+/=]{44,88}):([A-Za-z0-9+/=]{44,88})$/

/**
 * Parses `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, all in base64 (RFC 5803 §2): what PostgreSQL keeps in
 * `pg_authid.rolpassword`, too. `undefined` for anything else, and for iterations and salts out of bounds.
 */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const [, name, count, ...encoded] = FORM.exec(text) ?? []
  const method = scramMethods.find((one) => one === name)
  const [salt, storedKey, serverKey] = encoded.map(fromBase64)
  if (!method || !salt || !storedKey || !serverKey) return undefined
  const iterations = Number(count)
  if (iterations < SCRAM_ITERATIONS.min || iterations > SCRAM_ITERATIONS.max) return undefined
  if (salt.length < SCRAM_SALT_BYTES.min || salt.length > SCRAM_SALT_BYTES.max) return undefined
  const { sizeBytes } = scramHashes[method]
  if (storedKey.length !== sizeBytes || serverKey.length !== sizeBytes) return undefined
  return { method, iterations, salt, storedKey, serverKey }
}

/** Writes a verifier as `parseScramVerifier` reads it. */
export function formatScramVerifier({ method, iterations, salt, storedKey, serverKey }: ScramVerifier): string {
  return `${method}$${iterations}:${toBase64(salt)}$${toBase64(storedKey)}:${toBase64(serverKey)}`
}

/**
 * The member `scram` of a user in a file: verifiers in the form of RFC 5803, at most one for each method.
 */
export const scramMemberSchema = z
  .array(
    z.string().transform((text, context) => {
      const verifier = parseScramVerifier(text)
      if (verifier) return verifier
      context.addIssue('must be SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, or the same of SHA-512')
      return z.NEVER
    }),
  )
  .refine((all) => new Set(all.map(({ method }) => method)).size === all.length, 'must have one verifier for a method')

export function hmac(hash: ScramHash, key: Uint8Array, text: string): Bytes {
  return copyBytes(createHmac(hash, key).update(text, 'utf8').digest())
}

export function digest(hash: ScramHash, bytes: Uint8Array): Bytes {
  return copyBytes(createHash(hash).update(bytes).digest())
}

/** StoredKey and ServerKey of a password that is prepared (RFC 5802 §3). Slow by intention, off the event loop. */
export async function deriveScramKeys(
  hash: ScramHash,
  password: string,
  { salt, iterations }: Pick<ScramVerifier, 'salt' | 'iterations'>,
): Promise<Pick<ScramVerifier, 'storedKey' | 'serverKey'>> {
  const sizeBytes = digest(hash, new Uint8Array(0)).length
  const saltedPassword = await promisify(pbkdf2)(utf8(password), salt, iterations, sizeBytes, hash)
  const clientKey = hmac(hash, saltedPassword, 'Client Key')
  const serverKey = hmac(hash, saltedPassword, 'Server Key')
  const storedKey = digest(hash, clientKey)
  wipe(saltedPassword, clientKey)
  return { storedKey, serverKey }
}

/**
 * Makes what the server keeps of a password.
 *
 * @param salt random, of 16 bytes
 * @returns `undefined` when SASLprep refuses the password
 */
export async function createScramVerifier(
  method: ScramMethod,
  password: string,
  { salt, iterations = SCRAM_ITERATIONS.usual }: { salt: Bytes; iterations?: number },
): Promise<ScramVerifier | undefined> {
  const prepared = saslPrep(password, 'stored')
  if (prepared === undefined) return undefined
  const { hash } = scramHashes[method]
  return { method, iterations, salt, ...(await deriveScramKeys(hash, prepared, { salt, iterations })) }
}
