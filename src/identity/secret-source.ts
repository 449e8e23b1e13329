import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { z } from 'zod'
import { Secret } from '../core/secret.ts'

/** Where the operator keeps a secret: never in the configuration file itself. A file may end in one line break. */
export const secretSourceSchema = z
  .strictObject({
    file: z.string().min(1).max(4096).optional(),
    env: z
      .string()
      .regex(/^[A-Za-z_]\w{0,127}$/, 'must be the name of an environment variable')
      .optional(),
  })
  .refine(
    (source) => (source.file === undefined) !== (source.env === undefined),
    'must have exactly one of `file` and `env`',
  )

export type SecretSource = z.infer<typeof secretSourceSchema>

export type ReadSecret = (source: SecretSource) => Secret<Uint8Array>

/** Why a secret cannot be had; names its place, never a byte of it. */
export class SecretUnavailable extends Error {
  override readonly name = 'SecretUnavailable'
}

export const MAX_SECRET_BYTES = 65_536

/** A pipe without a writer would otherwise hold the start up for ever. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

function fromFile(path: string): Uint8Array {
  const where = `file ${JSON.stringify(path)}`
  let file: number | undefined
  try {
    file = openSync(path, READ)
    if (!fstatSync(file).isFile()) throw new SecretUnavailable(`${where} is not a file`)
    const bytes = new Uint8Array(MAX_SECRET_BYTES + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(file, bytes, { offset: length })
    if (length > MAX_SECRET_BYTES) throw new SecretUnavailable(`${where} is longer than ${MAX_SECRET_BYTES} bytes`)
    if (bytes[length - 1] === 0x0a) length -= bytes[length - 2] === 0x0d ? 2 : 1
    return bytes.slice(0, length)
  } catch (err) {
    if (err instanceof SecretUnavailable) throw err
    throw new SecretUnavailable(
      `${where} cannot be read: ${err instanceof Error && 'code' in err ? String(err.code) : 'unknown'}`,
    )
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/**
 * Reads secrets from files and from the given environment, once each call; at most 64 KiB, never empty.
 *
 * @throws {SecretUnavailable}
 */
export function createSecretReader(env: Readonly<Record<string, string | undefined>>): ReadSecret {
  const fromVariable = (name: string) => new TextEncoder().encode(Object.hasOwn(env, name) ? env[name] : '')
  return (source) => {
    const bytes = source.file === undefined ? fromVariable(source.env ?? '') : fromFile(source.file)
    const where = source.file === undefined ? `variable ${source.env}` : `file ${JSON.stringify(source.file)}`
    if (bytes.length === 0) throw new SecretUnavailable(`${where} is empty or not set`)
    if (bytes.length <= MAX_SECRET_BYTES) return new Secret(bytes)
    throw new SecretUnavailable(`${where} is longer than ${MAX_SECRET_BYTES} bytes`)
  }
}
