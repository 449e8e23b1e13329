import { LRUCache } from 'lru-cache'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import { createSession, type PolicySession } from '../policy/decide.ts'
import type { Identity } from '../policy/identity.ts'
import { readQuestion } from './access-input.ts'
import { byteLines } from './byte-lines.ts'
import { type Io, MisuseError } from './io.ts'
import { parseJsonText } from './policy-file.ts'
import { openToRead } from './text-file.ts'

const MAX_LINE_BYTES = 1024 * 1024
/** Sessions that are kept for identities that occur again, and characters of those identities together. */
const MAX_SESSIONS = 256
const MAX_SESSION_CHARACTERS = 16 * 1024 * 1024
/** Characters that are written at once. */
const BLOCK_CHARACTERS = 64 * 1024

async function* chunksOf(io: Io, file: string): AsyncGenerator<Uint8Array> {
  if (file === '-') return yield* io.stdinChunks()
  await using handle = await openToRead(file)
  yield* handle.createReadStream({ autoClose: false }) as AsyncIterable<Uint8Array>
}

/** Gives the session of an identity: the one of before, where it is still kept. */
function createSessions(compiled: CompiledPolicy): (identity: Identity) => PolicySession {
  const sessions = new LRUCache<string, PolicySession>({
    max: MAX_SESSIONS,
    maxSize: MAX_SESSION_CHARACTERS,
    sizeCalculation: (_, key) => key.length + 1,
  })
  return (identity) => {
    const key = JSON.stringify(identity)
    const session = sessions.get(key) ?? createSession(compiled, identity)
    sessions.set(key, session)
    return session
  }
}

/** Collects lines into blocks, and waits for who reads them. */
class BlockWriter {
  readonly #io: Io
  #lines: string[] = []
  #characters = 0

  constructor(io: Io) {
    this.#io = io
  }

  /** Returns whether it is time to flush. */
  add(line: string): boolean {
    this.#lines.push(line)
    this.#characters += line.length + 1
    return this.#characters >= BLOCK_CHARACTERS
  }

  async flush(): Promise<void> {
    if (this.#lines.length > 0) this.#io.out(this.#lines.join('\n'))
    this.#lines = []
    this.#characters = 0
    await this.#io.drained()
  }
}

/**
 * Decides the requests of a file, `-` for standard input, and prints a line for each in their order. Memory is bounded
 * whatever the length of the file; whoever reads the answer slowly is waited for. Empty lines are passed over.
 *
 * @throws {MisuseError} with the number of a line that is no request; the answers to those before it are printed
 */
export async function simulateLines(io: Io, compiled: CompiledPolicy, file: string, delivery: boolean): Promise<void> {
  const sessionOf = createSessions(compiled)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const writer = new BlockWriter(io)
  let number = 0
  const answer = (bytes: Uint8Array): string | undefined => {
    const refuse = (message: string): never => {
      throw new MisuseError(`${file}:${number}: ${message}`)
    }
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch (err) {
      if (!(err instanceof TypeError)) throw err
      return refuse('is not UTF-8')
    }
    if (text.trim() === '') return undefined
    const { json, problem: fault } = parseJsonText(text)
    if (fault) return refuse(fault.position ? `column ${fault.position.column}: ${fault.message}` : fault.message)
    const read = readQuestion(json)
    if (read.problem)
      return refuse(read.problem.path === '' ? read.problem.message : `${read.problem.path}: ${read.problem.message}`)
    const { identity, request } = read.value
    const { decision, reason, rule, qos, retain } = sessionOf(identity).decide(request, delivery)
    return JSON.stringify({ decision, reason, rule, qos, retain })
  }
  try {
    for await (const lines of byteLines(chunksOf(io, file), file, MAX_LINE_BYTES)) {
      io.signal.throwIfAborted()
      for (const bytes of lines) {
        number++
        const line = answer(bytes)
        if (line !== undefined && writer.add(line)) await writer.flush()
      }
    }
  } finally {
    await writer.flush()
  }
}
