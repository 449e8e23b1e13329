import type { Log } from '../core/log.ts'
import { type Answer, type HookAnswer, type HookRequest, JSON_TYPE, type Question } from './dialect.ts'
import type { Admission, Peer, Shown } from './guard.ts'
import type { Hook } from './hook.ts'

/** A request as it arrives, before its body is read. */
export interface Asked {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly socket: Peer
}

/** A question of a broker of ours, whose body is still to come. */
export interface Opened {
  /** Of the hook; whoever takes questions in counts there. */
  readonly share: { underWay: number }
  answer(body: Uint8Array): HookAnswer | Promise<HookAnswer>
  refuse(why: 'too-large' | 'unavailable'): HookAnswer
}

export interface Reception {
  /** Finds the hook that a request is for, and whether it is the hook's broker. Never throws. */
  open(asked: Asked): Opened | HookAnswer
}

/** A hook with what stands before it. */
export interface Door {
  readonly hook: Hook
  readonly guard: (shown: Shown) => Admission
  readonly share: { underWay: number }
  /** Told of answers that were given before there was a question. */
  readonly tell: (answer: Answer) => void
}

/** The hook at the bare path. */
const DEFAULT_HOOK = 'default'
const ROOT = '/mqtt/'
const NAMED = '/mqtt/hooks/'

const noSuchHook: HookAnswer = { status: 404, headers: JSON_TYPE, body: '{"ok":false,"error":"no such hook"}' }
/** Should a dialect itself fail: a status that none of the brokers takes for a yes. */
const broken: HookAnswer = { status: 500, headers: JSON_TYPE, body: '{"ok":false,"error":"failed"}' }

interface Address {
  readonly name: string
  readonly inPath: string | undefined
  readonly path: string
}

function decodeSegment(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/**
 * Reads `/mqtt/<path>` and `/mqtt/<secret>/<path>` of the default hook, `/mqtt/hooks/<name>/<path>` and
 * `/mqtt/hooks/<name>/<secret>/<path>`: a path of a dialect is one segment.
 */
function readAddress(path: string): Address | undefined {
  let name = DEFAULT_HOOK
  let rest = path.slice(ROOT.length)
  if (path.startsWith(NAMED)) {
    const end = path.indexOf('/', NAMED.length)
    if (end === -1) return undefined
    name = path.slice(NAMED.length, end)
    rest = path.slice(end + 1)
  }
  const slash = rest.indexOf('/')
  if (slash === -1) return { name, inPath: undefined, path: `/${rest}` }
  if (rest.includes('/', slash + 1)) return undefined
  const inPath = decodeSegment(rest.slice(0, slash))
  return inPath === undefined ? undefined : { name, inPath, path: rest.slice(slash) }
}

/** Takes the member `secret` out of a query. */
function splitQuery(text: string): { readonly query: string; readonly inQuery: string | undefined } {
  if (!text.includes('secret=')) return { query: text, inQuery: undefined }
  const pairs = text.split('&')
  const at = pairs.findIndex((pair) => pair.startsWith('secret='))
  const inQuery = at === -1 ? undefined : (decodeSegment((pairs[at] as string).slice('secret='.length)) ?? '')
  return { query: pairs.filter((_, i) => i !== at).join('&'), inQuery }
}

/** Milliseconds between lines of the log about one hook's requests that are no questions, and about its strangers. */
const NOTICE_EVERY_MS = 10_000

/** Tells operators what a broker's form of a refusal has no room for; bounded, because anybody may send such requests. */
class Notices {
  readonly #log: Log
  readonly #monotonic: () => number
  readonly #nextMs = new Map<string, number>()

  constructor(log: Log, monotonic: () => number) {
    this.#log = log
    this.#monotonic = monotonic
  }

  tell(hook: string, path: string, answer: Answer): void {
    if (answer.kind !== 'malformed' && answer.kind !== 'stranger') return
    const key = `${answer.kind} ${hook}`
    const nowMs = this.#monotonic()
    if (nowMs < (this.#nextMs.get(key) ?? Number.NEGATIVE_INFINITY)) return
    this.#nextMs.set(key, nowMs + NOTICE_EVERY_MS)
    if (answer.kind === 'malformed') {
      const shown = path.slice(0, 64)
      this.#log.warn({ hook, path: shown, what: answer.what }, 'a broker asked what is no question; it is refused')
    } else
      this.#log.warn(
        { hook }, // and no path: a secret in the wrong place would stand there
        'a request without the secret, certificate or address of the hook is refused; if it is the broker’s, nobody gets in',
      )
  }
}

/** Topics of one question: deciding them holds up all others. */
const MOST_WANTS = 200

const NO_BODY = new Uint8Array()

class OpenedQuestion implements Opened {
  readonly #door: Door
  readonly #head: Omit<HookRequest, 'body'>
  readonly #log: Log
  readonly #notices: Notices

  get share(): { underWay: number } {
    return this.#door.share
  }

  constructor(door: Door, head: Omit<HookRequest, 'body'>, log: Log, notices: Notices) {
    this.#door = door
    this.#head = head
    this.#log = log
    this.#notices = notices
  }

  answer(body: Uint8Array): HookAnswer | Promise<HookAnswer> {
    const { method, path, query, headers } = this.#head
    const request: HookRequest = { method, path, query, headers, body }
    const { hook } = this.#door
    try {
      const question = hook.dialect.parse(request)
      if (question.kind === 'malformed') return this.refuseAs(question, request)
      if (question.kind === 'reply') return question.answer
      if (question.kind === 'access' && question.wants.length > MOST_WANTS)
        return this.refuseAs({ kind: 'malformed', what: `asks for more than ${MOST_WANTS} topics` }, request)
      const answer = hook.answer(question)
      if (!(answer instanceof Promise)) return hook.dialect.render(answer, request, question)
      return answer.then(
        (late) => this.#render(late, request, question),
        (err: unknown) => this.#failed(err, request),
      )
    } catch (err) {
      return this.#failed(err, request)
    }
  }

  refuse(why: 'too-large' | 'unavailable'): HookAnswer {
    return this.refuseAs({ kind: why }, { ...this.#head, body: NO_BODY })
  }

  /** Answers what never became a question. */
  refuseAs(answer: Answer, request: HookRequest): HookAnswer {
    this.#door.tell(answer)
    this.#notices.tell(this.#door.hook.settings.name, request.path, answer)
    return this.#render(answer, request, undefined)
  }

  #render(answer: Answer, request: HookRequest, question: Question | undefined): HookAnswer {
    try {
      return this.#door.hook.dialect.render(answer, request, question)
    } catch (err) {
      return this.#failed(err, request)
    }
  }

  /** A fault of ours: refused as this broker understands it, if the dialect can still say so. */
  #failed(err: unknown, request: HookRequest): HookAnswer {
    const { dialect, settings } = this.#door.hook
    this.#log.error({ hook: settings.name, err }, 'a dialect failed; the broker is refused')
    try {
      return dialect.render({ kind: 'unavailable' }, request, undefined)
    } catch {
      return broken
    }
  }
}

/** Creates what brokers' requests come to first. */
export function createReception(doors: readonly Door[], log: Log, monotonic: () => number): Reception {
  const notices = new Notices(log, monotonic)
  const byName = new Map(doors.map((door) => [door.hook.settings.name, door]))
  return {
    open({ method = 'GET', url = '', headers, socket }) {
      const mark = url.indexOf('?')
      const address = readAddress(mark === -1 ? url : url.slice(0, mark))
      const door = address && byName.get(address.name)
      if (address === undefined || door === undefined) return noSuchHook
      const { query, inQuery } = splitQuery(mark === -1 ? '' : url.slice(mark + 1))
      const admission = door.guard({ inPath: address.inPath, inQuery, headers, peer: socket })
      const theirs = admission === 'authorization' ? { ...headers, authorization: undefined } : headers
      const head = { method, path: address.path, query, headers: theirs }
      const opened = new OpenedQuestion(door, head, log, notices)
      return admission === 'stranger' ? opened.refuseAs({ kind: 'stranger' }, { ...head, body: NO_BODY }) : opened
    },
  }
}
