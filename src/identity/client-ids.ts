import { z } from 'zod'
import { textRegexProblem } from '../policy/regex/check-regex.ts'
import { compileTextRegex } from '../policy/regex/compile-regex.ts'

/** Letters, digits and `_ . : -`: nothing that means something in a topic, a log or a terminal. */
export const DEFAULT_CLIENT_ID_PATTERN = '^[\\w.:-]+$'

/** Whether the empty id fits; of an invalid pattern, which is a fault of its own, nothing is said. */
const takesEmpty = (pattern: string) =>
  textRegexProblem(pattern) !== undefined || compileTextRegex(pattern, 'search')('')

/** The member `client_ids` of a configuration. `min` and `max` count bytes of UTF-8, as MQTT does. */
export const clientIdsSchema = z
  .strictObject({
    pattern: z
      .string()
      .min(1)
      .max(1024)
      .superRefine((pattern, ctx) => {
        const problem = textRegexProblem(pattern)
        if (problem) ctx.addIssue(`${problem.message} (at character ${problem.position + 1})`)
      })
      .default(DEFAULT_CLIENT_ID_PATTERN),
    min: z.number().int().min(0).max(65_535).default(1),
    max: z.number().int().min(1).max(65_535).default(128),
  })
  .refine(({ min, max }) => min <= max, '`min` is above `max`')
  .refine(({ min, pattern }) => min > 0 || takesEmpty(pattern), '`min` is 0, but `pattern` takes no empty id')
  .prefault({})

export type ClientIdSettings = z.output<typeof clientIdsSchema>

/**
 * Judges client ids: length, then the pattern, which is searched for (anchor it with `^` and `$` to mean the whole id). Linear
 * in the length of the id, which is at most `max` when the pattern is asked.
 */
export function createClientIdRules({ pattern, min, max }: ClientIdSettings): (clientId: string) => boolean {
  const matches = compileTextRegex(pattern, 'search')
  return (clientId) => {
    if (clientId.length > max || !clientId.isWellFormed()) return false
    const sizeBytes = Buffer.byteLength(clientId)
    return sizeBytes >= min && sizeBytes <= max && matches(clientId)
  }
}
