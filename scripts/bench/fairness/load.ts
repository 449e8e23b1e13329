// A load generator in a process of its own: sends one request again and again at a steady rate, whatever becomes of the ones
// before, and times each from the moment it was due, so that a server that is slow is not asked less. Raw sockets, because an
// HTTP client costs as much as the server that is measured on the same cores.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Request } from '../wrk.ts'

export interface LoadJob {
  readonly request: Request
  /** Requests a second. */
  readonly perS: number
  readonly seconds: number
  /** Connections at most; a request that finds none free waits, and the wait counts. */
  readonly connections: number
  /** Connections that are there before the first request: opening one takes long while a flood opens thousands. */
  readonly opened?: number
}

export interface Latencies {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface LoadResult {
  readonly seconds: number
  readonly due: number
  /** By status; 0: a connection that broke. From when they were due. */
  readonly byStatus: Readonly<Record<number, Latencies>>
  /** By status, from when they were written: what the server took. */
  readonly served: Readonly<Record<number, Latencies>>
}

/** How long after the end answers are awaited. */
const LAST_MS = 12_000
/** Sends what is due so often. */
const TICK_MS = 2

interface Line {
  readonly socket: Socket
  text: string
  dueMs: number
  sentMs: number
  busy: boolean
}

export function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function summarise(times: ReadonlyMap<number, number[]>): Record<number, Latencies> {
  return Object.fromEntries(
    [...times].map(([status, all]) => {
      const sorted = all.toSorted((a, b) => a - b)
      return [status, { count: all.length, p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) }]
    }),
  )
}

function bytesOf({ url, headers, body }: Request): { host: string; port: number; bytes: Buffer } {
  const { hostname, port, pathname } = new URL(url)
  const all = { host: `${hostname}:${port}`, 'content-length': String(Buffer.byteLength(body)), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  const bytes = Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
  return { host: hostname, port: Number(port), bytes }
}

/** Length of the whole answer at the front of the text, once its head is there. */
function answerLength(text: string): number {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return Number.POSITIVE_INFINITY
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head))?.[1]
  return head + 4 + Number(length ?? 0)
}

export async function load({ request, perS, seconds, connections, opened = 0 }: LoadJob): Promise<LoadResult> {
  const { host, port, bytes } = bytesOf(request)
  const due = new Map<number, number[]>()
  const served = new Map<number, number[]>()
  const lines = new Set<Line>()
  const free: Line[] = []
  const waiting: number[] = []
  let [open, sent, ended] = [0, 0, 0]
  const total = Math.round(perS * seconds)
  const done = Promise.withResolvers<void>()

  function note(times: Map<number, number[]>, status: number, ms: number): void {
    const all = times.get(status)
    if (all) all.push(ms)
    else times.set(status, [ms])
  }

  function end(line: Line, status: number): void {
    if (!line.busy) return
    line.busy = false
    const nowMs = performance.now()
    note(due, status, nowMs - line.dueMs)
    note(served, status, nowMs - line.sentMs)
    if (++ended === total) done.resolve()
  }

  function openLine(): Line {
    open++
    const socket = connect(port, host).setNoDelay(true)
    const line: Line = { socket, text: '', dueMs: 0, sentMs: 0, busy: false }
    lines.add(line)
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      line.text += chunk
      const length = answerLength(line.text)
      if (line.text.length < length) return
      const closes = /\r\nconnection: close/i.test(line.text)
      end(line, Number(line.text.slice(9, 12)))
      line.text = line.text.slice(length)
      if (!closes) free.push(line)
      send()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      open--
      lines.delete(line)
      const at = free.indexOf(line)
      if (at !== -1) free.splice(at, 1)
      end(line, 0)
    })
    return line
  }

  function send(): void {
    while (waiting.length > 0) {
      const line = free.pop() ?? (open < connections ? openLine() : undefined)
      if (!line) return
      line.dueMs = waiting.shift() ?? 0
      line.sentMs = performance.now()
      line.busy = true
      line.socket.write(bytes)
    }
  }

  const first = Array.from({ length: opened }, openLine)
  await Promise.all(first.map(({ socket }) => once(socket, 'connect')))
  free.push(...first)
  const startedMs = performance.now()
  const tick = setInterval(() => {
    const dueNow = Math.min(total, Math.floor(((performance.now() - startedMs) * perS) / 1000))
    while (sent < dueNow) waiting.push(startedMs + (sent++ * 1000) / perS)
    send()
  }, TICK_MS)
  const last = setTimeout(() => done.resolve(), seconds * 1000 + LAST_MS)
  await done.promise
  clearInterval(tick)
  clearTimeout(last)
  const tookS = (performance.now() - startedMs) / 1000
  for (const { socket } of lines) socket.destroy()
  return { seconds: Math.max(seconds, tookS), due: total, byStatus: summarise(due), served: summarise(served) }
}

if (process.send) {
  process.on('message', (job: LoadJob) => void load(job).then((result) => process.send?.(result)))
  process.once('disconnect', () => process.exit(0))
}
