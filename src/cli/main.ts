import type { Io } from './io.ts'
import { MisuseError } from './io.ts'
import { run } from './program.ts'

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())

const io: Io = {
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  async stdin(maxBytes) {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length
      if (sizeBytes > maxBytes) throw new MisuseError(`Standard input is over ${maxBytes} bytes.`)
      chunks.push(chunk)
    }
    return new Uint8Array(Buffer.concat(chunks))
  },
  env: process.env,
  signal: interrupted.signal,
}

process.exitCode = await run(process.argv.slice(2), io, () => import('../app.ts'))
