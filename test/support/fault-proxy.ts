import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What the proxy does to the bytes of one direction. Everything is off when absent. */
export interface Faults {
  /** Every piece is held for so long. */
  readonly latencyMs?: number
  /** Bytes are neither read nor passed, and an end is not passed either, until this is false again. */
  readonly stalled?: boolean
  readonly bytesPerS?: number
  /** Every write is at most so long. */
  readonly sliceBytes?: number
  /** One byte of each connection, counted from 0, is changed. */
  readonly corrupt?: { readonly atByte: number; readonly xor: number }
  /** So many bytes of each connection are passed, exactly; then this happens to the connection. */
  readonly cut?: { readonly afterBytes: number; readonly how: CutKind }
}

/** `close`: FIN both ways; `reset`: RST both ways; `stall`: silence in this direction for good, `half-open`: in both. */
export type CutKind = 'close' | 'reset' | 'stall' | 'half-open'

/** `up` leads to the server, `down` to the client. */
export type Direction = 'up' | 'down'

/** Proof that a fault happened. Bytes that were read and not passed are still held, or were lost with their connection. */
export interface FlowCounts {
  bytesRead: number
  bytesPassed: number
  writes: number
  corrupted: number
  cuts: number
  /** How often something waited for `stalled` to end, or waits for ever after a cut. */
  stalls: number
}

export interface FaultProxyOptions {
  readonly toPort: number
  /** For all connections; `change` replaces members of it. */
  readonly up?: Faults
  readonly down?: Faults
  /** Faults of connection `index`, counted from 0, instead of the common ones; `undefined`: those. */
  readonly plan?: (index: number) => { readonly up?: Faults; readonly down?: Faults } | undefined
}

export interface FaultProxy {
  readonly port: number
  readonly up: Readonly<FlowCounts>
  readonly down: Readonly<FlowCounts>
  /** Connections that were accepted, and those that are open. */
  readonly accepted: number
  readonly open: number
  /** Changes the common faults, of connections that are open too. */
  change(direction: Direction, faults: Faults): void
  /** Both directions fall silent: nobody is read, nobody is told. */
  halfOpen(): void
  /** Ends every open connection; `reset` with RST. Answers how many there were. */
  endAll(how: 'close' | 'reset'): number
  stop(): Promise<void>
}

const TICK_MS = 20

function noCounts(): FlowCounts {
  return { bytesRead: 0, bytesPassed: 0, writes: 0, corrupted: 0, cuts: 0, stalls: 0 }
}

/** One connection: two flows over two sockets. */
interface Pair {
  readonly client: Socket
  readonly server: Socket
  readonly sockets: readonly Socket[]
  /** Both directions are dead, and the sockets stay open. */
  silent: boolean
}

/**
 * Stands between a client and a server on loopback, in this process, and does to their bytes what networks do. Deterministic:
 * faults are counted in bytes of a connection, never in chunks as they happen to arrive.
 */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const common: Record<Direction, Faults> = { up: options.up ?? {}, down: options.down ?? {} }
  const counts: Record<Direction, FlowCounts> = { up: noCounts(), down: noCounts() }
  const pairs = new Set<Pair>()
  const stalledFlows = new Set<() => void>()
  let accepted = 0

  const wake = () => {
    for (const resume of stalledFlows) resume()
  }
  const until = () =>
    new Promise<void>((resolve) => {
      const resume = () => {
        stalledFlows.delete(resume)
        resolve()
      }
      stalledFlows.add(resume)
    })

  function end({ sockets }: Pair, how: 'close' | 'reset'): void {
    for (const socket of sockets) {
      if (how === 'reset') socket.resetAndDestroy()
      else socket.destroySoon()
    }
    wake()
  }

  /** Passes the bytes of one direction; returns when it is over, for whatever reason. */
  async function flow(pair: Pair, from: Socket, to: Socket, direction: Direction, faultsNow: () => Faults) {
    const count = counts[direction]
    let passed = 0

    async function whileStalled(): Promise<void> {
      if (!(faultsNow().stalled || pair.silent)) return
      count.stalls++
      while ((faultsNow().stalled || pair.silent) && !to.destroyed) await until()
    }

    /** Says whether the flow goes on. */
    async function pass(piece: Buffer): Promise<boolean> {
      const { latencyMs, bytesPerS, corrupt } = faultsNow()
      if (latencyMs !== undefined) await delay(latencyMs)
      if (bytesPerS !== undefined) await delay((piece.length / bytesPerS) * 1000)
      await whileStalled()
      if (to.destroyed) return false
      const at = corrupt === undefined ? -1 : corrupt.atByte - passed
      if (corrupt && at >= 0 && at < piece.length) {
        piece[at] = (piece[at] as number) ^ corrupt.xor
        count.corrupted++
      }
      const flushed = to.write(piece)
      passed += piece.length
      count.bytesPassed += piece.length
      count.writes++
      if (!flushed && !to.destroyed) await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => undefined)
      return true
    }

    async function cut(how: CutKind): Promise<void> {
      count.cuts++
      if (how === 'close' || how === 'reset') {
        end(pair, how)
        return
      }
      count.stalls++
      if (how === 'half-open') pair.silent = true
      while (!to.destroyed) await until()
    }

    const chunks: AsyncIterable<Buffer> = from.iterator({ destroyOnReturn: false }) // each half ends by itself
    for await (const chunk of chunks) {
      count.bytesRead += chunk.length
      for (let i = 0; i < chunk.length; ) {
        const { sliceBytes = chunk.length, bytesPerS = Number.POSITIVE_INFINITY, cut: planned } = faultsNow()
        const left = planned ? planned.afterBytes - passed : Number.POSITIVE_INFINITY
        if (left <= 0 && planned) return await cut(planned.how)
        const perTick = Math.max(1, Math.floor((bytesPerS * TICK_MS) / 1000))
        const piece = chunk.subarray(i, i + Math.min(sliceBytes, perTick, left))
        if (!(await pass(piece))) return
        i += piece.length
      }
      const { cut: planned } = faultsNow()
      if (planned && passed >= planned.afterBytes) return await cut(planned.how)
    }
    await whileStalled()
    to.end()
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const index = accepted++
    const planned = options.plan?.(index)
    const upstream = connect({ port: options.toPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const pair: Pair = { client, server: upstream, sockets: [client, upstream], silent: false }
    pairs.add(pair)
    const faultsOf = (direction: Direction) => () => (planned ? (planned[direction] ?? {}) : common[direction])
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => {}) // a reset is passed on below
      one.on('close', () => {
        if (one.errored) other.resetAndDestroy()
        else if (!pair.silent) other.destroySoon()
        if (client.destroyed && upstream.destroyed) pairs.delete(pair)
        wake()
      })
    }
    // A flow ends with an error when its socket was ended by somebody; 'close' deals with that.
    flow(pair, client, upstream, 'up', faultsOf('up')).catch(() => undefined)
    flow(pair, upstream, client, 'down', faultsOf('down')).catch(() => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function change(direction: Direction, faults: Faults): void {
    common[direction] = { ...common[direction], ...faults }
    wake()
  }

  return {
    port: (server.address() as AddressInfo).port,
    up: counts.up,
    down: counts.down,
    get accepted() {
      return accepted
    },
    get open() {
      return pairs.size
    },
    change,
    halfOpen() {
      change('up', { stalled: true })
      change('down', { stalled: true })
    },
    endAll(how) {
      const all = [...pairs]
      for (const pair of all) end(pair, how)
      return all.length
    },
    async stop() {
      for (const { sockets } of pairs) for (const socket of sockets) socket.destroy()
      wake()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
