import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { canonicalAddress } from './classify-address.ts'
import { type Destination, type Protocol, parseDestination } from './destination.ts'
import { unreachable } from './dial-errors.ts'
import { PLAINTEXT, type Posture, postureOf } from './posture.ts'
import { type AddressJudge, createAddressJudge, type Listener, type Resolve, systemResolve } from './resolve-host.ts'
import { startTls, type TlsTarget } from './tls-link.ts'
import { startWebSocket } from './websocket-link.ts'

export interface DialTarget {
  /** As the credential spells it; judged here. */
  readonly hostname: unknown
  readonly port: unknown
  readonly protocol: Protocol
  readonly tls: TlsTarget
  /** Path of the upgrade for `ws` and `wss`, beginning with `/`. */
  readonly wsPath: string
}

export interface DialOptions {
  /** On the monotonic clock. */
  readonly deadlineMs: number
  readonly signal?: AbortSignal
}

/** A stream to the broker on which nothing has been written yet. */
export interface Link {
  readonly stream: Duplex
  readonly posture: Posture
  /** Ends it at once. */
  close(): void
}

export type Dial = (target: DialTarget, options: DialOptions) => Promise<Link>

export interface DialDeps {
  /** CIDRs of private networks that may be dialled. */
  readonly allow: readonly string[]
  /** What this process and its database listen on; never dialled. */
  readonly ownListeners?: () => readonly Listener[]
  readonly resolve?: Resolve
  readonly clock: Clock
}

/** Every refusal of a destination is answered this long after the question, so that its time says nothing. */
const REFUSAL_MS = 40

async function connectTo(address: string, port: number, judge: AddressJudge, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: address, port, noDelay: true, keepAlive: true })
  try {
    await once(socket, 'connect', { signal })
    const peer = canonicalAddress(socket.remoteAddress ?? '')
    if (peer !== address || !judge.isDialable(peer, port)) throw new Error('connected to another address')
    return socket
  } catch (err) {
    socket.destroy()
    throw err
  }
}

/** Tries the addresses in their order; each has an equal share of the time that is left. */
async function connectToAny(
  addresses: readonly string[],
  port: number,
  judge: AddressJudge,
  { deadlineMs, signal, clock }: { deadlineMs: number; signal: AbortSignal; clock: Clock },
): Promise<Socket> {
  let last: unknown
  for (const [i, address] of addresses.entries()) {
    const share = Math.max(0, Math.floor((deadlineMs - clock.monotonic()) / (addresses.length - i)))
    try {
      return await connectTo(address, port, judge, AbortSignal.any([signal, AbortSignal.timeout(share)]))
    } catch (err) {
      last = err
    }
  }
  throw unreachable(last)
}

async function openLink(
  socket: Socket,
  destination: Destination,
  target: DialTarget,
  signal: AbortSignal,
): Promise<Link> {
  const { protocol } = destination
  const encrypted = protocol === 'mqtts' || protocol === 'wss'
  const carrier = encrypted ? await startTls(socket, destination.hostname, target.tls, signal) : socket
  const stream =
    protocol === 'ws' || protocol === 'wss'
      ? await startWebSocket(carrier, destination, target.wsPath, signal)
      : carrier
  const posture = carrier instanceof TLSSocket ? postureOf(carrier) : PLAINTEXT
  if (encrypted === posture.plaintext) throw new Error('the link is not protected as its protocol says')
  return {
    stream,
    posture,
    close() {
      stream.destroy()
      carrier.destroy()
      socket.destroy()
    },
  }
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort')
  throw unreachable(signal.reason)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}

/**
 * Opens connections to brokers: the host is resolved once, every address is judged, the socket goes to a judged address
 * and nowhere else, and TLS has verified before anybody may write.
 *
 * @throws {AppError} `destination.not_allowed` and `request.invalid` before anything is dialled; `broker.unreachable`,
 * `broker.rejected`, `integration.invalid` afterwards
 */
export function createDial({ allow, ownListeners = () => [], resolve = systemResolve, clock }: DialDeps): Dial {
  const judge = createAddressJudge({ allow, ownListeners, resolve })

  async function open(target: DialTarget, deadlineMs: number, signal: AbortSignal): Promise<Link> {
    const destination = parseDestination(target)
    const { hostname, port } = destination
    const addresses = await Promise.race([judge.addressesOf(hostname, port), aborted(signal)])
    const socket = await connectToAny(addresses, port, judge, { deadlineMs, signal, clock })
    socket.on('error', () => {}) // whoever holds the stream hears it too; a late one must not end the process
    try {
      return await openLink(socket, destination, target, signal)
    } catch (err) {
      socket.destroy()
      throw err
    }
  }

  return async function dial(target, { deadlineMs, signal }) {
    const startedMs = clock.monotonic()
    const timeout = AbortSignal.timeout(Math.max(0, Math.floor(deadlineMs - startedMs)))
    try {
      return await open(target, deadlineMs, signal ? AbortSignal.any([signal, timeout]) : timeout)
    } catch (err) {
      if (!(err instanceof AppError)) throw unreachable(err)
      if (err.code === 'destination.not_allowed') await sleep(startedMs + REFUSAL_MS - clock.monotonic())
      throw err
    }
  }
}
