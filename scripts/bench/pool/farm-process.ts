import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Figures, Question } from './brokers.ts'

export interface FarmProcess {
  readonly port: number
  ask(question: Question): Promise<Figures>
  stop(): Promise<void>
}

/** Starts the brokers beside everything else, so that nobody's work delays what they see. */
export async function startFarmProcess(count: number): Promise<FarmProcess> {
  const child = fork(fileURLToPath(new URL('brokers.ts', import.meta.url)), [String(count)])
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the brokers ended with ${String(code)}`)
  })
  failed.catch(() => {}) // whoever asks hears it
  const next = async () => {
    const [figures] = (await Promise.race([once(child, 'message'), failed])) as [Figures]
    return figures
  }
  const { port } = await next()
  return {
    port,
    ask(question) {
      const answer = next()
      child.send(question)
      return answer
    },
    async stop() {
      child.disconnect()
      await failed.catch(() => {})
    },
  }
}
