import { createHmac, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { type CryptoKey, calculateJwkThumbprint, exportJWK } from 'jose'
import type { Secret } from '../../core/secret.ts'
import { algorithmsOf, type JwtAlgorithm, minSecretBytes } from './algorithms.ts'

export interface VerifyKey {
  /** Names this very key and tells nothing of it: a thumbprint (RFC 7638), or a digest under the secret. At most 64 characters. */
  readonly id: string
  /** As the issuer calls it. */
  readonly kid: string | undefined
  readonly algorithms: readonly JwtAlgorithm[]
  readonly key: KeyObject | CryptoKey
}

/** Where a provider's keys come from. */
export interface KeySource {
  /**
   * The one key that a token can have been signed with. `unknown` where there is none or more than one, `unavailable` where
   * that cannot be said before the signal ends the wait.
   */
  find(alg: JwtAlgorithm, kid: string | undefined, signal: AbortSignal): Promise<VerifyKey | 'unknown' | 'unavailable'>
  /** Whether a key is still one of the issuer's, from memory alone. */
  has(id: string): boolean
  close(): void
}

/** What is wrong with a key that the configuration names; says which member and which rule, never what was read. */
export class KeyFault extends Error {
  override readonly name = 'KeyFault'
}

/** Bytes of a file of keys or certificates. */
const MAX_PEM_BYTES = 1_048_576

/** Picks the one key that fits; one that is published twice is one. A key with a name is only for tokens that name it or none. */
export function pickKey(keys: readonly VerifyKey[], alg: JwtAlgorithm, kid: string | undefined): VerifyKey | 'unknown' {
  const fitting = keys.filter((one) => one.algorithms.includes(alg) && (kid === undefined || one.kid === kid))
  const [key] = fitting
  return key && fitting.every(({ id }) => id === key.id) ? key : 'unknown'
}

/** A source that never changes. Its one key has no name, so what a token calls its key does not matter. */
function fixedSource(keys: readonly VerifyKey[]): KeySource {
  return {
    async find(alg) {
      return pickKey(keys, alg, undefined)
    },
    has: (id) => keys.some((one) => one.id === id),
    close() {},
  }
}

/** @throws {KeyFault} for a secret that is shorter than its hash, or that is really a public key */
export function createSecretSource(secret: Secret<Uint8Array>, algorithms: readonly JwtAlgorithm[]): KeySource {
  const bytes = secret.reveal()
  const least = Math.max(...algorithms.map(minSecretBytes))
  if (bytes.length < least)
    throw new KeyFault(`secret: ${algorithms.join(', ')} needs at least ${least} bytes (RFC 7518 §3.2)`)
  if (Buffer.from(bytes).includes('-----BEGIN '))
    throw new KeyFault('secret: holds a key in PEM, which is no secret; name it as `public_key_file`')
  const key = createSecretKey(bytes)
  const id = createHmac('sha256', key).update('sealwire: name of a token secret').digest('base64url')
  return fixedSource([{ id, kid: undefined, algorithms, key }])
}

/** Reads a PEM file that the configuration names at `member`. @throws {KeyFault} */
export function readPemFile(member: string, path: string): string {
  const where = `${member}: ${JSON.stringify(path)}`
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    const stat = fstatSync(file)
    if (!stat.isFile() || stat.size > MAX_PEM_BYTES)
      throw new KeyFault(`${where} is no file of at most ${MAX_PEM_BYTES} bytes`)
    return readFileSync(file, 'latin1')
  } catch (err) {
    if (err instanceof KeyFault) throw err
    const code = err instanceof Error && 'code' in err ? String(err.code) : 'unknown'
    throw new KeyFault(`${where} cannot be read: ${code}`)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Id of a public key: its thumbprint (RFC 7638). */
export async function thumbprintOf(key: KeyObject): Promise<string> {
  return calculateJwkThumbprint(await exportJWK(key))
}

/**
 * @param wanted the algorithms of the configuration; all that go with the key when there are none
 * @throws {KeyFault} for a file that holds no single public key, or a key that goes with none of the algorithms
 */
export async function createPemSource(path: string, wanted: readonly JwtAlgorithm[] | undefined): Promise<KeySource> {
  const pem = readPemFile('public_key_file', path)
  const where = `public_key_file: ${JSON.stringify(path)}`
  if (pem.includes('PRIVATE KEY-----')) throw new KeyFault(`${where} holds a private key; give the public one alone`)
  if (pem.split('-----BEGIN ').length !== 2) throw new KeyFault(`${where} must hold one public key or certificate`)
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw new KeyFault(`${where} is no public key in PEM`)
  }
  const fitting = algorithmsOf(key)
  if (fitting.length === 0)
    throw new KeyFault(
      `${where}: must be RSA of 2048 to 8192 bits with an odd exponent from 3, P-256, P-384, P-521 or Ed25519`,
    )
  const unfit = wanted?.find((one) => !fitting.includes(one))
  if (unfit !== undefined) throw new KeyFault(`algorithms: ${unfit} does not go with the key of ${where}`)
  return fixedSource([{ id: await thumbprintOf(key), kid: undefined, algorithms: wanted ?? fitting, key }])
}
