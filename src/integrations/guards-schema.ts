import { z } from 'zod'
import { utf8 } from '../core/bytes.ts'
import { parseGuards } from '../guards/parse-guards.ts'

/** Bytes of UTF-8 that guards may have as JSON. */
const MAX_BYTES = 65_536

/** Guards as their author writes them, kept exactly as they were parsed from JSON: the order of members means something. */
export const guardsSchema = z
  .custom<Record<string, unknown>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .meta({ override: { type: 'object', additionalProperties: true, description: 'Guards of single messages' } })
  .superRefine((guards, ctx) => {
    if (utf8(JSON.stringify(guards)).length > MAX_BYTES) {
      ctx.addIssue({ code: 'custom', message: `is longer than ${MAX_BYTES} bytes as JSON` })
      return
    }
    const { problems } = parseGuards(guards, { source: 'integration' })
    for (const { path, message } of problems) ctx.addIssue({ code: 'custom', path: [path], message })
  })
