import type { Clock } from '../core/clock.ts'
import type { Reached } from '../core/crash-points.ts'
import { AppError } from '../core/errors.ts'
import type { Delivery, OutgoingMessage } from './broker.ts'
import type { Connection, ConnectionSet } from './connection-set.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import type { LateOutcome } from './late-outcomes.ts'
import type { Permission } from './permission.ts'
import type { Release } from './semaphore.ts'

/** `unknown`: bytes may have left, and nothing proves what became of them. */
export interface PublishOutcome {
  readonly delivery: Exclude<Delivery, { state: 'lost' }> | { readonly state: 'unknown' }
  /** Wall clock. */
  readonly sentAtMs: number
}

/** A missing acknowledgement together with so long a silence means that the link is dead, however short the deadlines. */
const SILENCE_MS = 1_000
/** A permission that is older when the message could be written is asked for again. */
const FRESH_MS = 1_000
/** The longest that this may take: what is written was allowed less than 5 s ago. */
const RENEWAL_MS = 4_000

/** What it takes to write on a connection that has logged in. */
export interface Writing {
  readonly connection: Connection
  readonly permission: Permission
  readonly deadlineMs: number
  readonly clock: Clock
  readonly connections: Pick<ConnectionSet, 'drain' | 'release'>
  readonly counts: { lateAcknowledgements: number }
  /** Is told what a broker says of a message whose caller was told `unknown`. */
  readonly onLate: (late: LateOutcome) => void
  readonly reached: Reached
}

/** A message whose bytes may have left. */
export interface Written {
  /** Settles when the broker has settled the message, or the connection has ended. */
  readonly pending: Promise<Delivery>
  /** Wall clock. */
  readonly sentAtMs: number
  /** Set when its caller was told `unknown`: what comes then is late. */
  answered: boolean
}

/**
 * Asks for the permission again where it is too old. Takes no time, not even a turn of the event loop, while it is fresh.
 *
 * @throws {AppError} what the permission throws, and `database.unavailable` when it takes too long
 */
export function renewal(permission: Permission, { deadlineMs, clock }: Writing): Promise<void> | undefined {
  const nowMs = clock.monotonic()
  if (nowMs - permission.askedMs <= FRESH_MS) return undefined
  const renewed = withDeadline(permission.renew(), Math.min(deadlineMs, nowMs + RENEWAL_MS), clock)
  return renewed.then((result) => {
    if (result !== EXPIRED) return
    throw new AppError('database.unavailable', 'Whether the message is still allowed was not known in time.', {
      retryAfterS: 1,
    })
  })
}

/**
 * Writes one message at once. The place in the window, and a lease, are held until the broker has settled it, however
 * long the caller waits. `undefined` when the connection has ended, and no byte was written.
 *
 * Nothing is written after the deadline: who finds no intent on record by then may rely on it.
 *
 * @throws {AppError} what `BrokerClient.publish` throws before a byte is written, `broker.busy` after the deadline
 */
export function write(
  { connection, deadlineMs, clock, connections, counts, onLate, reached }: Writing,
  message: OutgoingMessage,
  release: Release,
): Written | undefined {
  const { client } = connection
  if (!client || client.closed) {
    release()
    return undefined
  }
  const sentAtMs = clock.now()
  let pending: Promise<Delivery>
  try {
    if (clock.monotonic() > deadlineMs)
      throw new AppError('broker.busy', 'The deadline passed before the message could be written.', { retryAfterS: 1 })
    reached('publishing')
    pending = client.publish(message)
    reached('published')
  } catch (err) {
    release()
    throw err
  }
  connection.leases++
  const written: Written = { pending, sentAtMs, answered: false }
  void pending.then((delivery) => {
    if (delivery.state === 'acknowledged') reached('acknowledged')
    release()
    connections.release(connection)
    if (!written.answered || delivery.state === 'lost') return
    counts.lateAcknowledgements++
    const { tenantId, integrationId } = connection
    onLate({ tenantId, integrationId, messageId: message.messageId, topic: message.topic, delivery })
  })
  return written
}

/** Of a message that was written and is not settled by the deadline: a link that was silent since is given up. */
export function leaveUnknown({ connection, connections }: Writing, written: Written): void {
  written.answered = true
  const { client } = connection
  if (client && client.silenceMs >= SILENCE_MS) connections.drain(connection)
}

/** What is known of a message whose connection has settled it. */
export function outcomeOf(delivery: Delivery, sentAtMs: number): PublishOutcome {
  return { delivery: delivery.state === 'lost' ? { state: 'unknown' } : delivery, sentAtMs }
}

/**
 * Writes one message on a connection that has logged in, within its in-flight window, and answers at the deadline at the
 * latest. `undefined` when the connection had ended before a byte was written.
 *
 * @throws {AppError} when nothing was written: `broker.busy`, what `BrokerClient.publish` throws, and what a permission
 * throws that is not given again
 */
export async function writeMessage(writing: Writing, message: OutgoingMessage): Promise<PublishOutcome | undefined> {
  const { connection, permission, deadlineMs, clock } = writing
  const { client, window } = connection
  if (!client || !window) throw new TypeError('the connection has not logged in')
  const release = await window.acquire(deadlineMs)
  writing.reached('connected')
  try {
    const renewing = renewal(permission, writing)
    if (renewing) await renewing
  } catch (err) {
    release()
    throw err
  }
  const written = write(writing, message, release)
  if (!written) return undefined
  const delivery = await withDeadline(written.pending, deadlineMs, clock)
  if (delivery !== EXPIRED) return outcomeOf(delivery, written.sentAtMs)
  leaveUnknown(writing, written)
  return { delivery: { state: 'unknown' }, sentAtMs: written.sentAtMs }
}
