import type { LoadOperator } from '#src/cli/operator.ts'
import { run } from '#src/cli/program.ts'

export interface Transcript {
  code: number
  out: string
  err: string
}

export interface Terminal {
  env?: Record<string, string>
  stdin?: Uint8Array
  operator?: LoadOperator
  signal?: AbortSignal
}

/** Runs one command line in this process and returns what a person would have seen. */
export async function runCli(args: readonly string[], terminal: Terminal = {}): Promise<Transcript> {
  const out: string[] = []
  const err: string[] = []
  const io = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    drained: async () => {},
    stdin: async () => terminal.stdin ?? new Uint8Array(),
    async *stdinChunks() {
      yield terminal.stdin ?? new Uint8Array()
    },
    env: terminal.env ?? {},
    signal: terminal.signal ?? new AbortController().signal,
  }
  const noOperator: LoadOperator = () => Promise.reject(new Error('this command does not need the server'))
  const code = await run(args, io, terminal.operator ?? noOperator)
  return { code, out: out.join('\n'), err: err.join('\n') }
}
