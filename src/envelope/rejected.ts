import { AppError } from '../core/errors.ts'

/** Makes the one error for everything that is not an authentic envelope, whatever the reason. */
export function rejected(): AppError {
  return new AppError('envelope.rejected', 'Envelope did not verify.')
}
