import { z } from 'zod'
import { isId } from '../core/ids.ts'
import { configSchema, type IntegrationConfig } from './config-schema.ts'
import { guardsSchema } from './guards-schema.ts'
import { type Operation, operations } from './integration.ts'
import { configFromWire } from './wire.ts'

export interface IntegrationInput {
  readonly name: string
  readonly systemType: 'mqtt'
  readonly credentialId: string
  readonly allowedOperations: ReadonlySet<Operation>
  readonly config: IntegrationConfig
  readonly policyId: string | null
  /** They parse; kept as they were written. */
  readonly guards: Readonly<Record<string, unknown>> | null
}

/** Members that are absent stay as they are; `config` and `guards` are replaced whole. */
export type IntegrationPatch = Partial<Omit<IntegrationInput, 'systemType'>>

const name = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,200}$/u, { error: 'must be 1 to 200 characters without control characters' })

const credentialId = z.uuid().lowercase()

/** Exact words, each once. What is absent, null or empty refuses everything. */
const allowedOperations = z
  .array(z.enum(operations))
  .max(operations.length)
  .refine((words) => new Set(words).size === words.length, { error: 'must not name an operation twice' })

const policyId = z
  .string()
  .refine((text) => isId('pol', text), 'must be an id that begins with pol_')
  .meta({ description: 'Decides instead of config.topic and config.topics' })

/** Body of `POST /api/v2/integrations`. */
export const createIntegrationBody = z
  .strictObject({
    name,
    system_type: z.literal('mqtt'),
    credential_id: credentialId,
    allowed_operations: allowedOperations.nullish(),
    config: configSchema.prefault({}),
    policy_id: policyId.nullish(),
    guards: guardsSchema.nullish(),
  })
  .transform(
    (body): IntegrationInput => ({
      name: body.name,
      systemType: body.system_type,
      credentialId: body.credential_id,
      allowedOperations: new Set(body.allowed_operations),
      config: configFromWire(body.config),
      policyId: body.policy_id ?? null,
      guards: body.guards ?? null,
    }),
  )

/** Body of `PATCH /api/v2/integrations/{id}`: at least one member. `null` takes everything away that `allowed_operations`, `policy_id` or `guards` gave. */
export const patchIntegrationBody = z
  .strictObject({
    name: name.optional(),
    credential_id: credentialId.optional(),
    allowed_operations: allowedOperations.nullish(),
    config: configSchema.optional(),
    policy_id: policyId.nullish(),
    guards: guardsSchema.nullish(),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), { error: 'must name a member to change' })
  .transform(
    (body): IntegrationPatch => ({
      ...(body.name !== undefined && { name: body.name }),
      ...(body.credential_id !== undefined && { credentialId: body.credential_id }),
      ...(body.allowed_operations !== undefined && { allowedOperations: new Set(body.allowed_operations) }),
      ...(body.config !== undefined && { config: configFromWire(body.config) }),
      ...(body.policy_id !== undefined && { policyId: body.policy_id }),
      ...(body.guards !== undefined && { guards: body.guards }),
    }),
  )
