import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { canonicalAddress } from './classify-address.ts'
import { createConnectBudget } from './connect-budget.ts'
import type { BrokerHost, Protocol } from './destination.ts'
import { unreachable } from './dial-errors.ts'
import { judgeTarget } from './judge-target.ts'
import { PLAINTEXT, type Posture, postureOf } from './posture.ts'
import { type AddressJudge, createAddressJudge, type Listener } from './resolve-host.ts'
import { createResolver, type Resolve } from './resolver.ts'
import { startTls, type TlsTarget } from './tls-link.ts'
import { startWebSocket } from './websocket-link.ts'

export interface DialTarget {
  /** Where the broker is reached, as the credential spells it; every one is judged here, whichever is dialled. */
  readonly hosts: readonly BrokerHost[]
  readonly protocol: Protocol
  readonly tls: TlsTarget
  /** Path of the upgrade for `ws` and `wss`, beginning with `/`. */
  readonly wsPath: string
}

export interface DialOptions {
  /** Whose limits the dial counts in. */
  readonly tenantId: string
  /** Which one of the hosts, from 0; absent: the first. */
  readonly host?: number
  /** On the monotonic clock. */
  readonly deadlineMs: number
  readonly signal?: AbortSignal
}

/** A stream to the broker on which nothing has been written yet. */
export interface Link {
  readonly stream: Duplex
  readonly posture: Posture
  /** To be called once a broker has let us in: until then the dial counts as one of those that found none. */
  proven(): void
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

/**
 * No refusal and no failure to reach a destination is answered sooner after the question, so that its time does not tell what
 * was denied from what refused the connection or does not exist. A silence until the deadline cannot be hidden so; that is
 * what the connect budget bounds.
 */
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

interface Attempts {
  readonly port: number
  readonly judge: AddressJudge
  /** Asked before each address is tried. @throws {AppError} `rate.limited` */
  readonly admit: (address: string, i: number) => void
  readonly deadlineMs: number
  readonly signal: AbortSignal
  readonly clock: Clock
}

/** Tries the addresses in their order; each has an equal share of the time that is left. */
async function connectToAny(addresses: readonly string[], attempts: Attempts): Promise<Socket> {
  const { port, judge, admit, deadlineMs, signal, clock } = attempts
  let last: unknown
  for (const [i, address] of addresses.entries()) {
    if (signal.aborted) break
    try {
      admit(address, i)
    } catch (err) {
      throw last === undefined ? err : unreachable(last) // those that were tried are the answer
    }
    const share = Math.max(0, Math.floor((deadlineMs - clock.monotonic()) / (addresses.length - i)))
    try {
      return await connectTo(address, port, judge, AbortSignal.any([signal, AbortSignal.timeout(share)]))
    } catch (err) {
      last = err
    }
  }
  throw unreachable(last)
}

type OpenLink = Omit<Link, 'proven'>

/** What the target asks for, read and judged, with every address in it, before anything is resolved or dialled. */
function prepare(target: DialTarget, host: number, { isDialable }: AddressJudge) {
  const { destinations, context } = judgeTarget(target, isDialable)
  const destination = destinations[host]
  if (destination === undefined) throw new RangeError('dial: no such host')
  return { destination, wsPath: target.wsPath, tls: target.tls, context }
}

async function openLink(
  socket: Socket,
  { destination, wsPath, tls, context }: ReturnType<typeof prepare>,
  signal: AbortSignal,
): Promise<OpenLink> {
  const { protocol, hostname } = destination
  const carrier = context ? await startTls(socket, hostname, { target: tls, context }, signal) : socket
  const stream =
    protocol === 'ws' || protocol === 'wss' ? await startWebSocket(carrier, destination, wsPath, signal) : carrier
  const posture = carrier instanceof TLSSocket ? postureOf(carrier) : PLAINTEXT
  if (Boolean(context) === posture.plaintext) throw new Error('the link is not protected as its protocol says')
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
 * and nowhere else, and TLS has verified before anybody may write. An open connection stays where it is, whatever DNS says
 * later; the next one is resolved and judged anew.
 *
 * @throws {AppError} `destination.not_allowed`, `request.invalid`, `integration.invalid` (PEM) and `rate.limited` before
 * anything is dialled; `broker.busy` when too many names are being looked up; `broker.unreachable`, `broker.rejected` afterwards
 */
export function createDial({ allow, ownListeners = () => [], resolve = createResolver(), clock }: DialDeps): Dial {
  const judge = createAddressJudge({ allow, ownListeners, resolve })
  const budget = createConnectBudget(clock)

  async function open(target: DialTarget, options: DialOptions, signal: AbortSignal): Promise<Link> {
    const { tenantId, host = 0, deadlineMs } = options
    const prepared = prepare(target, host, judge)
    const { hostname, port } = prepared.destination
    const placeOf = (where: string) => `${where} ${port}`
    // What a name server answers tells something too. Each address counts, or a name could lead to one after the other.
    const isPaid = isIP(hostname) === 0 && budget.spend(tenantId, placeOf(hostname))
    const addresses = await Promise.race([judge.addressesOf(hostname, port, { tenantId, signal }), aborted(signal)])
    const admit = (address: string, i: number) => {
      if (isPaid && i === 0) budget.cover(tenantId, placeOf(address))
      else budget.spend(tenantId, placeOf(address))
    }
    const socket = await connectToAny(addresses, { port, judge, admit, deadlineMs, signal, clock })
    socket.on('error', () => {}) // whoever holds the stream hears it too; a late one must not end the process
    const address = canonicalAddress(socket.remoteAddress ?? '')
    try {
      const link = await openLink(socket, prepared, signal)
      const proven = () => {
        for (const where of [hostname, address]) budget.proven(tenantId, placeOf(where))
      }
      return { ...link, proven }
    } catch (err) {
      socket.destroy()
      throw err
    }
  }

  return async function dial(target, options) {
    const { deadlineMs, signal } = options
    const startedMs = clock.monotonic()
    const timeout = AbortSignal.timeout(Math.max(0, Math.floor(deadlineMs - startedMs)))
    try {
      return await open(target, options, signal ? AbortSignal.any([signal, timeout]) : timeout)
    } catch (err) {
      const failure = err instanceof AppError ? err : unreachable(err)
      if (failure.code === 'destination.not_allowed' || failure.code === 'broker.unreachable') {
        await sleep(startedMs + REFUSAL_MS - clock.monotonic())
      }
      throw failure
    }
  }
}
