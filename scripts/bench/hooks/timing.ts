import { Agent, request } from 'node:http'
import { median } from '../report.ts'
import { PASSWORD } from './deployment.ts'

const kinds = ['unknown user', 'wrong password', 'disabled user'] as const
export type RefusedKind = (typeof kinds)[number]

export interface TimingFigures {
  readonly hash: 'argon2' | 'bcrypt'
  readonly samples: number
  /** Medians. */
  readonly ms: Readonly<Record<RefusedKind, number>>
  /** The slowest by the fastest, less one. */
  readonly spread: number
}

/** Nothing is remembered from before, and no name is guessed at so often that its logins end: each is asked once. */
const loginOf: Readonly<Record<RefusedKind, (i: number) => { username: string; password: string }>> = {
  'unknown user': (i) => ({ username: `nobody-${i}`, password: `guess-${i}` }),
  'wrong password': (i) => ({ username: `known-${i}`, password: `guess-${i}` }),
  'disabled user': (i) => ({ username: `off-${i}`, password: PASSWORD }),
}

/** Asks as a broker does, over a connection that is kept, and answers the milliseconds until the whole answer is there. */
async function askMs(agent: Agent, url: string, body: string): Promise<{ ms: number; status: number; text: string }> {
  const startedMs = performance.now()
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const asked = request(url, { method: 'POST', agent, headers }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk: string) => {
        text += chunk
      })
      res.on('end', () => resolve({ ms: performance.now() - startedMs, status: res.statusCode ?? 0, text }))
      res.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/**
 * Measures the three refusals in turns, each turn in another order, so that what else the machine does meets all alike.
 *
 * @throws {Error} where they differ in anything but time
 */
export async function benchTiming(url: string, hash: TimingFigures['hash'], samples: number): Promise<TimingFigures> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const took: Record<RefusedKind, number[]> = { 'unknown user': [], 'wrong password': [], 'disabled user': [] }
  const answers = new Set<string>()
  try {
    for (let i = 0; i < samples; i++) {
      for (let turn = 0; turn < kinds.length; turn++) {
        const kind = kinds[(i + turn) % kinds.length] as RefusedKind
        const { ms, status, text } = await askMs(
          agent,
          url,
          JSON.stringify({ clientid: `c-${i}`, ...loginOf[kind](i) }),
        )
        answers.add(`${status} ${text}`)
        if (i > 0) took[kind].push(ms) // the first opens the connection and warms up
      }
    }
  } finally {
    agent.destroy()
  }
  if (answers.size !== 1 || ![...answers][0]?.startsWith('403 ')) throw new Error([...answers].join('\n'))
  const ms = {
    'unknown user': median(took['unknown user']),
    'wrong password': median(took['wrong password']),
    'disabled user': median(took['disabled user']),
  }
  const all = Object.values(ms)
  return { hash, samples: samples - 1, ms, spread: Math.max(...all) / Math.min(...all) - 1 }
}
