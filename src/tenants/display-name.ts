import { AppError } from '../core/errors.ts'

const DISPLAY_NAME = /^[^\p{Cc}\p{Cs}]{1,128}$/u

/**
 * Judges a name that people gave. It is shown, never an identity.
 *
 * @throws {AppError} `request.invalid` unless 1 to 128 characters without controls and halves of characters
 */
export function assertDisplayName(name: string): void {
  if (!DISPLAY_NAME.test(name)) throw new AppError('request.invalid', 'name: must be 1 to 128 printable characters.')
}
