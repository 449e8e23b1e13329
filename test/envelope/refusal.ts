import type { ErrorCode } from '#src/core/errors.ts'

/** The one text of everything that did not verify. */
const UNIFORM = 'Envelope did not verify.'

/** What `assert.throws` compares a refusal with; a rejection has one message, whatever the reason. */
export function refusal(code: ErrorCode = 'envelope.rejected'): { name: string; code: ErrorCode; message?: string } {
  return { name: 'AppError', code, ...(code === 'envelope.rejected' && { message: UNIFORM }) }
}
