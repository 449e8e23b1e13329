import { z } from 'zod'
import { anonymousProviderSchema } from './anonymous.ts'
import { certificateProviderSchema } from './certificate/settings.ts'
import { httpProviderSchema } from './http-service/settings.ts'
import { jwtProviderSchema } from './jwt/settings.ts'
import { fileProviderSchema } from './users-file/settings.ts'

/** One section of `providers`, by its `type`. Each schema is strict: an unknown member is a fault, never ignored. */
export const providerSchema = z.discriminatedUnion('type', [
  fileProviderSchema,
  jwtProviderSchema,
  certificateProviderSchema,
  httpProviderSchema,
  anonymousProviderSchema,
])

export type ProviderSettings = z.output<typeof providerSchema>

/** The member `providers` of a configuration: named sections, at most 32. Their order is the hook's, not the file's. */
export const providersSchema = z
  .custom<unknown>(
    (all) => typeof all !== 'object' || all === null || !Object.hasOwn(all, '__proto__'),
    '"__proto__" is no name', // records pass over it in silence
  )
  .pipe(
    z.record(z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/), providerSchema, {
      error: ({ code }) => (code === 'invalid_key' ? 'a name is a-z, then a-z 0-9 _ -, at most 64' : undefined),
    }),
  )
  .refine((providers) => Object.keys(providers).length <= 32, 'at most 32 providers')
