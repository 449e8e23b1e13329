import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Delivery, OutgoingMessage } from './broker.ts'
import type { Connection, ConnectionSet } from './connection-set.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import type { Permission } from './permission.ts'

/** `unknown`: bytes may have left, and nothing proves what became of them. */
export interface PublishOutcome {
  readonly delivery: Exclude<Delivery, { state: 'lost' }> | { readonly state: 'unknown' }
  /** Wall clock. */
  readonly sentAtMs: number
}

/** A missing acknowledgement together with so long a silence means that the link is dead. */
const SILENCE_MS = 1_000
/** A permission that is older when the message could be written is asked for again. */
const FRESH_MS = 1_000
/** The longest that this may take: what is written was allowed less than 5 s ago. */
const RENEWAL_MS = 4_000

interface Writing {
  readonly connection: Connection
  readonly message: OutgoingMessage
  readonly permission: Permission
  readonly deadlineMs: number
  readonly clock: Clock
  readonly connections: Pick<ConnectionSet, 'drain' | 'release'>
  readonly counts: { lateAcknowledgements: number }
}

/** Takes no time, not even a turn of the event loop, while the permission is fresh. */
function renewal({ permission, deadlineMs, clock }: Writing): Promise<void> | undefined {
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
 * Writes one message on a connection that has logged in, within its in-flight window, and answers at the deadline at the
 * latest. `undefined` when the connection had ended before a byte was written. The place in the window, and the lease,
 * are held until the broker has settled the message, however long the caller waits.
 *
 * @throws {AppError} when nothing was written: `broker.busy`, what `BrokerClient.publish` throws, and what a permission
 * throws that is not given again
 */
export async function writeMessage(writing: Writing): Promise<PublishOutcome | undefined> {
  const { connection, message, deadlineMs, clock, connections, counts } = writing
  const { client, window } = connection
  if (!client || !window) throw new TypeError('the connection has not logged in')
  const release = await window.acquire(deadlineMs)
  try {
    const renewing = renewal(writing)
    if (renewing) await renewing
  } catch (err) {
    release()
    throw err
  }
  if (client.closed) {
    release()
    return undefined
  }
  const [sentAtMs, writtenMs] = [clock.now(), clock.monotonic()]
  let pending: Promise<Delivery>
  try {
    pending = client.publish(message)
  } catch (err) {
    release()
    throw err
  }
  connection.leases++
  let answered = false
  void pending.then(({ state }) => {
    release()
    connections.release(connection)
    if (answered && state !== 'lost') counts.lateAcknowledgements++
  })
  const delivery = await withDeadline(pending, deadlineMs, clock)
  if (delivery !== EXPIRED) {
    return { delivery: delivery.state === 'lost' ? { state: 'unknown' } : delivery, sentAtMs }
  }
  answered = true
  const silent = client.lastInboundMs < writtenMs && clock.monotonic() - writtenMs >= SILENCE_MS
  if (silent) connections.drain(connection)
  return { delivery: { state: 'unknown' }, sentAtMs }
}
