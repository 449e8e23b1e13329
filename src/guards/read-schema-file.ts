import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { decodeUtf8 } from '../core/bytes.ts'
import { SchemaUnavailable } from './schema-unavailable.ts'

function readBounded(path: string, maxBytes: number): Uint8Array {
  const file = openSync(path, 'r')
  try {
    if (!fstatSync(file).isFile()) throw new SchemaUnavailable('is not a file')
    const bytes = new Uint8Array(maxBytes + 1)
    const length = readSync(file, bytes)
    if (length > maxBytes) throw new SchemaUnavailable(`is longer than ${maxBytes} bytes`)
    return bytes.subarray(0, length)
  } finally {
    closeSync(file)
  }
}

/**
 * Reads the JSON schema in a file that the operator names.
 *
 * @throws {SchemaUnavailable} when it cannot be read, is too long, or is no JSON
 */
export function readSchemaFile(path: unknown, maxBytes: number): unknown {
  if (typeof path !== 'string' || path === '') throw new SchemaUnavailable('must be the path of a file')
  try {
    return JSON.parse(decodeUtf8(readBounded(path, maxBytes)))
  } catch (err) {
    if (err instanceof SchemaUnavailable) throw err
    const fromSystem = err instanceof Error && 'syscall' in err && 'code' in err
    throw new SchemaUnavailable(`cannot be read: ${fromSystem ? String(err.code) : 'it is no JSON in UTF-8'}`)
  }
}
