import { once } from 'node:events'
import { exit } from './exit-codes.ts'
import type { Io } from './io.ts'
import { MisuseError } from './io.ts'
import { run } from './program.ts'

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())

// Who reads a part and goes, as `head` does, has what it wanted.
process.stdout.on('error', (err: NodeJS.ErrnoException) => {
  if (err.code !== 'EPIPE') throw err
  process.exit(exit.ok)
})

const io: Io = {
  out: (line) => process.stdout.write(`${line}\n`),
  async drained() {
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
  },
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
  stdinChunks: () => process.stdin as AsyncIterable<Buffer>,
  env: process.env,
  signal: interrupted.signal,
}

process.exitCode = await run(process.argv.slice(2), io, () => import('../app.ts'))
