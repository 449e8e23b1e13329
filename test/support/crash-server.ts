import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

/** A process of `crash-main.ts`. */
export interface CrashServer {
  url: string
  /** Resolves with the signal that ended it. */
  ended: Promise<string | null>
  kill(signal: NodeJS.Signals): void
}

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL') // of tests that failed before they stopped it
})

/** Starts a server that crashes where `CRASH_AT` says, and resolves when it listens; `main` is `crash-main.ts`, bundled. */
export async function startCrashServer(main: string, env: Readonly<Record<string, string>>): Promise<CrashServer> {
  const { PATH = '' } = process.env
  const own = { PATH, PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8' }
  const child = spawn(process.execPath, [main], {
    env: { ...own, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.add(child)
  const ended = once(child, 'exit').then(([, signal]) => {
    children.delete(child)
    return signal as string | null
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, url } = JSON.parse(line) as { msg: string; url?: string }
    if (msg !== 'listening' || url === undefined) continue
    child.stdout.resume()
    child.unref()
    ;(child.stdout as Socket).unref()
    return { url, ended, kill: (signal) => void child.kill(signal) }
  }
  throw new Error(`the server ended (${await ended}) before it listened`)
}
