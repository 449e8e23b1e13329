import { AppError } from '../core/errors.ts'

/** A tenant's policy: a name, and documents of which one decides. */
export interface Policy {
  readonly tenantId: string
  readonly id: string
  readonly name: string
  /** 1 for a new one, one more for each change; the ETag. */
  readonly version: number
  /** The one that decides. */
  readonly activeRevision: number
  readonly latestRevision: number
  /** SHA-256 of the active document's JSON text, hexadecimal. */
  readonly sha256: string
  /** Number of rules of the active document. */
  readonly rules: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** One document of a policy. Nothing of it ever changes. */
export interface PolicyRevision {
  readonly revision: number
  readonly active: boolean
  readonly sha256: string
  readonly rules: number
  readonly createdAt: Date
  /** The API key that stored it. */
  readonly createdBy: string
}

/** A revision with its document, as it is kept: JSON text. */
export interface StoredRevision extends PolicyRevision {
  readonly text: string
}

export function policyNotFound(): AppError {
  return new AppError('object.not_found', 'No such policy.')
}
