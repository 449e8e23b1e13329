import { AppError, type ErrorCode } from '#src/core/errors.ts'

/** The one text of everything that did not verify. */
const UNIFORM = 'Envelope did not verify.'

/** What `assert.throws` compares a refusal with; a rejection has one message, whatever the reason. */
export function refusal(code: ErrorCode = 'envelope.rejected'): { name: string; code: ErrorCode; message?: string } {
  return { name: 'AppError', code, ...(code === 'envelope.rejected' && { message: UNIFORM }) }
}

/** The code with which a call fails; `undefined` when it does not. A rejection must have its one text. For the long loops. */
export function codeOf(run: () => unknown): ErrorCode | undefined {
  try {
    run()
    return undefined
  } catch (err) {
    if (!(err instanceof AppError)) throw err
    if (err.code === 'envelope.rejected' && err.message !== UNIFORM) throw err
    return err.code
  }
}
