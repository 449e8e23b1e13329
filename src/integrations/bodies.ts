import { z } from 'zod'
import { configSchema, type IntegrationConfig } from './config-schema.ts'
import { type Operation, operations } from './integration.ts'
import { configFromWire } from './wire.ts'

export interface IntegrationInput {
  readonly name: string
  readonly systemType: 'mqtt'
  readonly credentialId: string
  readonly allowedOperations: ReadonlySet<Operation>
  readonly config: IntegrationConfig
}

/** Members that are absent stay as they are; `config` is replaced whole. */
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

const none = (what: string) => z.null({ error: `${what} are not available: leave it out, or send null` }).optional()

/** Body of `POST /api/v2/integrations`. */
export const createIntegrationBody = z
  .strictObject({
    name,
    system_type: z.literal('mqtt'),
    credential_id: credentialId,
    allowed_operations: allowedOperations.nullish(),
    config: configSchema.prefault({}),
    policy_id: none('policies'),
    guards: none('guards'),
  })
  .transform(
    (body): IntegrationInput => ({
      name: body.name,
      systemType: body.system_type,
      credentialId: body.credential_id,
      allowedOperations: new Set(body.allowed_operations),
      config: configFromWire(body.config),
    }),
  )

/** Body of `PATCH /api/v2/integrations/{id}`: at least one member. `allowed_operations: null` takes everything away. */
export const patchIntegrationBody = z
  .strictObject({
    name: name.optional(),
    credential_id: credentialId.optional(),
    allowed_operations: allowedOperations.nullish(),
    config: configSchema.optional(),
    policy_id: none('policies'),
    guards: none('guards'),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), { error: 'must name a member to change' })
  .transform(
    (body): IntegrationPatch => ({
      ...(body.name !== undefined && { name: body.name }),
      ...(body.credential_id !== undefined && { credentialId: body.credential_id }),
      ...(body.allowed_operations !== undefined && { allowedOperations: new Set(body.allowed_operations) }),
      ...(body.config !== undefined && { config: configFromWire(body.config) }),
    }),
  )
