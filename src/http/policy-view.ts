import { z } from 'zod'
import { MAX_DOCUMENT_BYTES } from '../policies/document-text.ts'
import { etagFor } from '../policies/if-match.ts'
import type { Policy, PolicyRevision, StoredRevision } from '../policies/policy.ts'
import type { OperationAnswer } from './operation.ts'
import { apiKeyId, displayName, exampleId, jsonObject, policyId, timestamp } from './schemas.ts'

/** A policy as it is written. What is wrong inside is told by its parser, all of it and with paths. */
export const policyDocument = jsonObject.meta({
  id: 'PolicyDocument',
  override: {
    type: 'object',
    additionalProperties: true,
    description: `A policy of schema mqtt-policy/1, at most ${MAX_DOCUMENT_BYTES} bytes as JSON`,
  },
})

export const revisionNumber = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)

const policyMembers = {
  id: policyId,
  name: displayName,
  version: z.int().min(1).meta({ description: 'One more for each change; the ETag' }),
  active_revision: revisionNumber.meta({ description: 'The revision that decides' }),
  latest_revision: revisionNumber,
  rules: z.int().min(0).meta({ description: 'Of the active document' }),
  sha256: z.string().meta({ description: 'SHA-256 of the active document as JSON, hexadecimal' }),
  created_at: timestamp,
  updated_at: timestamp,
}

export const policyView = z.strictObject(policyMembers).meta({ id: 'Policy' })

export const policyWithDocument = z
  .strictObject({ ...policyMembers, document: policyDocument })
  .meta({ id: 'PolicyWithDocument' })

const revisionMembers = {
  revision: revisionNumber,
  active: z.boolean().meta({ description: 'Whether this one decides' }),
  rules: z.int().min(0),
  sha256: z.string().meta({ description: 'SHA-256 of the document as JSON, hexadecimal' }),
  created_at: timestamp,
  created_by: apiKeyId,
}

export const revisionView = z.strictObject(revisionMembers).meta({ id: 'PolicyRevision' })

export const revisionWithDocument = z
  .strictObject({ ...revisionMembers, document: policyDocument })
  .meta({ id: 'PolicyRevisionWithDocument' })

/** One thing that is wrong with a document, or worth a look. */
export const policyProblem = z
  .strictObject({
    path: z
      .string()
      .meta({ description: 'Such as rules[3].topics[0]; empty for the whole', example: 'rules[0].effect' }),
    message: z.string(),
  })
  .meta({ id: 'PolicyProblem' })

/** The header that `answerPolicy` sets, for the document. */
export const policyEtag = { ETag: 'The version, for If-Match of a change.' } as const

/** The request header of a change, for the document. */
export const policyIfMatch = { 'If-Match': 'The ETag of the version that you read.' } as const

export function policyToWire(policy: Policy): z.input<typeof policyView> {
  return {
    id: policy.id,
    name: policy.name,
    version: policy.version,
    active_revision: policy.activeRevision,
    latest_revision: policy.latestRevision,
    rules: policy.rules,
    sha256: policy.sha256,
    created_at: policy.createdAt.toISOString(),
    updated_at: policy.updatedAt.toISOString(),
  }
}

export function revisionToWire(one: PolicyRevision): z.input<typeof revisionView> {
  return {
    revision: one.revision,
    active: one.active,
    rules: one.rules,
    sha256: one.sha256,
    created_at: one.createdAt.toISOString(),
    created_by: one.createdBy,
  }
}

/** The document as it was stored, for an answer. */
export function documentOf({ text }: StoredRevision): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>
}

/** An answer about one policy, with its version as `ETag`. */
export function answerPolicy(policy: Policy): OperationAnswer<z.input<typeof policyView>> {
  return { data: policyToWire(policy), headers: { etag: etagFor(policy.version) } }
}

export const documentExample = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  revision: 1,
  rules: [{ id: 'sensors', effect: 'allow', actions: ['publish'], topics: ['sensors/${sub}/#'] }],
  tests: [
    { as: { sub: exampleId('key') }, do: 'publish', topic: `sensors/${exampleId('key')}/t`, expect: 'allow' },
    { as: { sub: exampleId('key') }, do: 'publish', topic: 'alarms', expect: 'deny' },
  ],
}

export const policyExample: z.input<typeof policyView> = {
  id: exampleId('pol'),
  name: 'plant',
  version: 1,
  active_revision: 1,
  latest_revision: 1,
  rules: 1,
  sha256: '5d41402abc4b2a76b9719d911017c592ae3f3b1f0e8c9f0b7a6d5e4c3b2a1908',
  created_at: '2026-11-21T09:00:00.000Z',
  updated_at: '2026-11-21T09:00:00.000Z',
}

export const revisionExample: z.input<typeof revisionView> = {
  revision: 1,
  active: true,
  rules: 1,
  sha256: policyExample.sha256,
  created_at: '2026-11-21T09:00:00.000Z',
  created_by: exampleId('key'),
}
