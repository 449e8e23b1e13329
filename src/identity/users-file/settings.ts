import { z } from 'zod'

/** A section of `providers` with `"type": "file"`: users with password hashes in a file of the operator. */
export const fileProviderSchema = z.strictObject({
  type: z.literal('file'),
  path: z.string().min(1).max(4096),
  /** Password hashes that may be computed at once, and how many clients may wait for their turn. */
  hashing: z
    .strictObject({
      parallel: z.number().int().min(1).max(64).default(2),
      waiting: z.number().int().min(0).max(10_000).default(256),
    })
    .prefault({}),
  /** How long a password that was right once is known without hashing it again; 0: not at all. */
  remember_s: z.number().int().min(0).max(3600).default(300),
})

export type UsersFileSettings = z.output<typeof fileProviderSchema>
