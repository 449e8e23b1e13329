import { AppError } from '../core/errors.ts'

/**
 * Reads the number in one strong ETag (RFC 9110 §13.1.1) such as `"12"`. A list, `*` and a weak one match nothing, because
 * each hides a lost update: those are `undefined`.
 *
 * @throws {AppError} `precondition.required` when there is none; `what` names the object in its message
 */
export function parseIfMatch(ifMatch: string | undefined, what: string): number | undefined {
  if (ifMatch === undefined) {
    throw new AppError('precondition.required', `If-Match: send the ETag of the ${what} that you read.`)
  }
  const digits = /^"([1-9][0-9]{0,8})"$/.exec(ifMatch)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The strong validator of version or revision `number` (RFC 9110 §8.8.3). */
export function etagFor(number: number): string {
  return `"${number}"`
}
