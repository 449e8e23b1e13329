import { AppError, type ErrorCode } from '../core/errors.ts'
import type { OutgoingMessage } from './broker.ts'
import { withDeadline } from './deadline.ts'
import { createTurns } from './turns.ts'
import {
  leaveUnknown,
  outcomeOf,
  type PublishOutcome,
  renewal,
  type Writing,
  type Written,
  write,
} from './write-message.ts'

/** `error`: nothing of the message was sent. */
export type WrittenItem = PublishOutcome | { readonly error: AppError }

/** Messages to be written one after the other. */
export interface Batch {
  readonly messages: readonly OutgoingMessage[]
  /**
   * Whether the permission, which may have been renewed since, holds for one message.
   *
   * @throws {AppError} `policy.denied`
   */
  assertAllowed(index: number): void
}

/** Refusals of one message, which say nothing about the next. */
const OF_ONE: ReadonlySet<ErrorCode> = new Set(['policy.denied', 'broker.rejected', 'request.invalid'])

function connectionEnded(): AppError {
  return new AppError('broker.unreachable', 'The connection to the broker ended before this message was sent.', {
    retryAfterS: 1,
  })
}

function toAppError(err: unknown): AppError {
  if (err instanceof AppError) return err
  return new AppError('internal', 'Something went wrong on our side before this message was sent.', { cause: err })
}

/**
 * Writes messages in order on one connection, within its in-flight window, which it shares with other publishes; their
 * acknowledgements are awaited together. Whatever ends the batch (the connection is lost, the deadline passes, it is not
 * allowed any more) leaves the rest unsent: nothing is written again, and nothing overtakes a message whose fate is not
 * known. `undefined` when the connection had ended before the first byte was written.
 *
 * @returns for every message what became of it; never later than the deadline but for the renewal of the permission
 */
export async function writeBatch(
  given: Writing,
  { messages, assertAllowed }: Batch,
): Promise<readonly WrittenItem[] | undefined> {
  const { connection, deadlineMs, clock } = given
  const { client, window } = connection
  if (!client || !window) throw new TypeError('the connection has not logged in')
  const items: (WrittenItem | undefined)[] = messages.map(() => undefined)
  const unsettled = new Map<number, Written>()
  const settling: Promise<void>[] = []
  const turn = createTurns(clock)
  let permission = given.permission
  let ended: AppError | undefined

  /** Writes one message when it is its turn; `undefined` when the connection had ended. */
  const writeNext = async (message: OutgoingMessage, index: number): Promise<Written | undefined> => {
    const release = await window.acquire(deadlineMs)
    given.reached('connected')
    try {
      const askedMs = clock.monotonic()
      const renewing = renewal(permission, given)
      if (renewing) {
        await renewing
        permission = { ...permission, askedMs }
      }
      assertAllowed(index)
    } catch (err) {
      release()
      throw err
    }
    return write(given, message, release)
  }

  for (const [index, message] of messages.entries()) {
    if (ended) {
      items[index] = { error: ended }
      continue
    }
    try {
      const turning = turn()
      if (turning) await turning
      const written = await writeNext(message, index)
      if (!written && settling.length === 0) return undefined
      if (!written) throw connectionEnded()
      unsettled.set(index, written)
      settling.push(
        written.pending.then((delivery) => {
          unsettled.delete(index)
          items[index] ??= outcomeOf(delivery, written.sentAtMs)
        }),
      )
    } catch (err) {
      const error = toAppError(err)
      items[index] = { error }
      if (!OF_ONE.has(error.code)) ended = error
    }
  }
  if (unsettled.size > 0) await withDeadline(Promise.all(settling), deadlineMs, clock)
  for (const [index, written] of unsettled) {
    leaveUnknown(given, written)
    items[index] = { delivery: { state: 'unknown' }, sentAtMs: written.sentAtMs }
  }
  return items as readonly WrittenItem[]
}
