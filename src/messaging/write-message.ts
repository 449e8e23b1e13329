import type { Clock } from '../core/clock.ts'
import type { Delivery, OutgoingMessage } from './broker.ts'
import type { Connection, ConnectionSet } from './connection-set.ts'
import { EXPIRED, withDeadline } from './deadline.ts'

/** `unknown`: bytes may have left, and nothing proves what became of them. */
export interface PublishOutcome {
  readonly delivery: Exclude<Delivery, { state: 'lost' }> | { readonly state: 'unknown' }
  /** Wall clock. */
  readonly sentAtMs: number
}

/** A missing acknowledgement together with so long a silence means that the link is dead. */
const SILENCE_MS = 1_000

interface Writing {
  readonly connection: Connection
  readonly message: OutgoingMessage
  readonly deadlineMs: number
  readonly clock: Clock
  readonly connections: Pick<ConnectionSet, 'drain' | 'release'>
  readonly counts: { lateAcknowledgements: number }
}

/**
 * Writes one message on a connection that has logged in, within its in-flight window, and answers at the deadline at the
 * latest. `undefined` when the connection had ended before a byte was written. The place in the window, and the lease,
 * are held until the broker has settled the message, however long the caller waits.
 *
 * @throws {AppError} when nothing was written: `broker.busy`, and what `BrokerClient.publish` throws
 */
export async function writeMessage(writing: Writing): Promise<PublishOutcome | undefined> {
  const { connection, message, deadlineMs, clock, connections, counts } = writing
  const { client, window } = connection
  if (!client || !window) throw new TypeError('the connection has not logged in')
  const release = await window.acquire(deadlineMs)
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
