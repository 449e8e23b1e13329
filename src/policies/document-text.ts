import { createHash } from 'node:crypto'
import { AppError } from '../core/errors.ts'

/** Bytes of UTF-8 that a document may have as JSON: what the body of a request may have. */
export const MAX_DOCUMENT_BYTES = 1024 * 1024

/** A document on its way into the database. */
export interface DocumentText {
  readonly text: string
  /** SHA-256 of the text, 32 bytes. */
  readonly sha256: Uint8Array
  readonly bytes: number
}

/** The revision that a document says it is, if it says one; anything but an integer is left for its parser to refuse. */
export function statedRevision(document: Readonly<Record<string, unknown>>): number | undefined {
  const stated = Object.hasOwn(document, 'revision') ? document['revision'] : undefined
  return Number.isSafeInteger(stated) ? (stated as number) : undefined
}

/**
 * Writes the number of its revision into a document: in place, or behind `id`; the order of the other members stays, and a
 * member named `__proto__` stays one.
 */
export function withRevision(document: Readonly<Record<string, unknown>>, revision: number): Record<string, unknown> {
  const members = Object.entries(document)
  const at = members.findIndex(([name]) => name === 'revision')
  if (at === -1) {
    members.splice(members.findIndex(([name]) => name === 'id') + 1, 0, ['revision', revision])
  } else if (statedRevision(document) !== undefined) members[at] = ['revision', revision]
  return Object.fromEntries(members)
}

/** @throws {AppError} `policy.invalid` for a document that is longer than 1 MiB as JSON, which numbers such as 1e20 can do */
export function encodeDocument(document: Readonly<Record<string, unknown>>): DocumentText {
  const text = JSON.stringify(document)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_DOCUMENT_BYTES) {
    const message = `is longer than ${MAX_DOCUMENT_BYTES} bytes as JSON`
    throw new AppError('policy.invalid', `The policy ${message}.`, {
      details: { problems: [{ path: '', message }] },
    })
  }
  return { text, sha256: createHash('sha256').update(text).digest(), bytes }
}
