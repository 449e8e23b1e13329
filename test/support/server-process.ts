import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface ServerProcess {
  url: string
  child: ChildProcess
}

/** Environment of a server process: nothing of this one but the PATH. */
function environment(env: Record<string, string>): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8', LOG_FORMAT: 'json', ...env }
}

/**
 * Starts the server as operators run it, in a process that can be killed, and resolves when it listens. `said` is called with
 * whatever it writes, to stdout and stderr.
 */
export async function startServerProcess(
  env: Record<string, string>,
  said?: (text: string) => void,
): Promise<ServerProcess> {
  const child = spawn(process.execPath, ['src/main.ts'], {
    env: environment(env),
    stdio: ['ignore', 'pipe', said ? 'pipe' : 'inherit'],
  })
  if (said)
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => said(chunk.toString()))
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const { msg, url } = JSON.parse(line) as { msg: string; url?: string }
    if (msg !== 'listening' || url === undefined) continue
    child.stdout?.resume()
    child.unref() // a test that fails before it stops the server still ends, and takes it along
    for (const stream of [child.stdout, child.stderr]) (stream as Socket | null)?.unref()
    process.once('exit', () => child.kill('SIGKILL'))
    return { url, child }
  }
  throw new Error('the server ended before it listened')
}

/** Starts a server that is meant to refuse, and returns its exit code and everything that it said; `meanwhile` may act on it. */
export async function runToExit(
  env: Record<string, string>,
  meanwhile?: (child: ChildProcess) => Promise<void>,
): Promise<{ code: number | null; said: string; ms: number }> {
  const started = performance.now()
  const child = spawn(process.execPath, ['src/main.ts'], { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk
    if (said.includes('"listening"')) child.kill('SIGKILL') // it should have refused
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk
  })
  const [code] = await Promise.all([
    new Promise<number | null>((resolve) => child.once('close', resolve)),
    meanwhile?.(child),
  ])
  return { code, said, ms: performance.now() - started }
}
