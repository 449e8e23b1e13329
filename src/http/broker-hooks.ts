import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { InFlight } from './in-flight.ts'

/** What is answered to a broker; `content-length` and, where it is missing, `cache-control: no-store` are added here. */
export interface HookReply {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A question whose sender is a broker of ours, and whose body has not been read. */
export interface OpenedHook {
  /** Of its hook: how many of its questions are under way, counted here. */
  readonly share: { underWay: number }
  answer(body: Uint8Array): HookReply | Promise<HookReply>
  refuse(why: 'too-large' | 'unavailable'): HookReply
}

/** The hooks of brokers, as far as HTTP is concerned. */
export interface BrokerHooks {
  /** Judges by the request's line, headers and connection alone. Never throws. */
  open(req: IncomingMessage): OpenedHook | HookReply
  /** PEM of the authorities whose client certificates hooks ask for; `undefined` where none does. */
  readonly clientAuthorities: readonly string[] | undefined
}

export const HOOKS_PREFIX = '/mqtt/'
/** A user name and a password may have 64 KiB each, and escapes make more of them. */
const MAX_BODY_BYTES = 256 * 1024
/** Questions of brokers at once, and the bytes of their bodies: what is more is refused, so that others have room. */
const MOST_AT_ONCE = 1_024
/** Of one hook, whose provider may be slow: the other hooks are answered all the same. */
const MOST_OF_ONE = 768
const MOST_BYTES = 64 * 1024 * 1024

const EMPTY = new Uint8Array()

/** Header lines of replies, which dialects mostly use again and again: names and values in turns. */
const prepared = new WeakMap<HookReply, string[]>()

function headersOf(reply: HookReply): string[] {
  const known = prepared.get(reply)
  if (known) return known
  const { headers, body } = reply
  const lines = ['content-length', String(Buffer.byteLength(body))]
  if (headers['cache-control'] === undefined) lines.push('cache-control', 'no-store')
  for (const [name, value] of Object.entries(headers)) lines.push(name, value)
  prepared.set(reply, lines)
  return lines
}

function send(res: ServerResponse, reply: HookReply, isHead: boolean): void {
  if (res.destroyed || res.headersSent) return
  res.writeHead(reply.status, headersOf(reply))
  res.end(isHead ? undefined : reply.body)
}

/** Reads on without keeping anything would cost as much as reading: the connection ends with the answer. */
function sendLast(req: IncomingMessage, res: ServerResponse, reply: HookReply): void {
  res.shouldKeepAlive = false
  send(res, reply, req.method === 'HEAD')
}

/**
 * Answers brokers, before Express and everything that callers of the API need: their hooks are asked for every message, and a
 * broker waits meanwhile.
 */
export function createHookListener(hooks: BrokerHooks, inFlight: Pick<InFlight, 'hold'>): RequestListener {
  let underWay = 0
  let bytes = 0

  /** One question whose body is being read; it has a place, and room for its body. */
  class Asking {
    readonly #req: IncomingMessage
    readonly #res: ServerResponse
    readonly #opened: OpenedHook
    /** Of its body, as the header says; without one, the most that there may be. */
    readonly #held: number
    #chunks: Buffer[] | undefined
    #size = 0
    #isRead = false

    constructor(req: IncomingMessage, res: ServerResponse, opened: OpenedHook, held: number) {
      this.#req = req
      this.#res = res
      this.#opened = opened
      this.#held = held
      underWay++
      opened.share.underWay++
      bytes += held
    }

    #leave(): void {
      underWay--
      this.#opened.share.underWay--
      bytes -= this.#held
    }

    #finish(reply: HookReply): void {
      this.#leave()
      send(this.#res, reply, this.#req.method === 'HEAD')
    }

    take(chunk: Buffer, isChunked: boolean): void {
      if (this.#isRead) return
      this.#size += chunk.length
      if (this.#size > MAX_BODY_BYTES) {
        this.#isRead = true
        this.#leave()
        this.#req.pause()
        sendLast(this.#req, this.#res, this.#opened.refuse('too-large'))
        return
      }
      if (!isChunked && this.#chunks === undefined && chunk.length === this.#held) {
        this.answer(chunk) // as nearly always: all of it at once
        return
      }
      this.#chunks ??= []
      this.#chunks.push(chunk)
    }

    end(): void {
      if (!this.#isRead) this.answer(this.#chunks === undefined ? EMPTY : Buffer.concat(this.#chunks, this.#size))
    }

    answer(body: Uint8Array): void {
      this.#isRead = true
      const reply = this.#opened.answer(body)
      if (!(reply instanceof Promise)) {
        this.#finish(reply)
        return
      }
      const leave = inFlight.hold() // a stop waits for it
      void reply.then((one) => {
        this.#finish(one)
        leave()
      })
    }

    /** The broker went away before its question was here. */
    cut(): void {
      if (this.#isRead) return
      this.#isRead = true
      this.#leave()
    }
  }

  return (req, res) => {
    const opened = hooks.open(req)
    const { headers } = req
    const length = Number(headers['content-length'] ?? 0)
    const isChunked = headers['transfer-encoding'] !== undefined
    const hasBody = isChunked || length > 0
    if ('status' in opened) {
      if (hasBody) sendLast(req, res, opened)
      else send(res, opened, req.method === 'HEAD')
      return
    }
    if (length > MAX_BODY_BYTES) {
      sendLast(req, res, opened.refuse('too-large'))
      return
    }
    const held = isChunked ? MAX_BODY_BYTES : length
    const isFull = underWay >= MOST_AT_ONCE || opened.share.underWay >= MOST_OF_ONE || bytes + held > MOST_BYTES
    if (isFull) {
      sendLast(req, res, opened.refuse('unavailable'))
      return
    }
    const asking = new Asking(req, res, opened, held)
    if (!hasBody) {
      asking.answer(EMPTY)
      return
    }
    req.on('data', (chunk: Buffer) => asking.take(chunk, isChunked))
    req.on('end', () => asking.end())
    req.on('close', () => asking.cut())
  }
}
