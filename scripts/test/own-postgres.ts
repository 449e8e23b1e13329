import { statfsSync } from 'node:fs'
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startEmbedded } from '#src/db/embedded.ts'

const GIB = 2 ** 30

/** Memory where the system offers enough of it as a folder: hundreds of small databases then wait for no disk. */
function scratchParent(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    return bavail * bsize > GIB ? '/dev/shm' : tmpdir()
  } catch {
    return tmpdir() // not Linux
  }
}

/** Starts our own PostgreSQL with its data in a folder of its own; `stop` removes it. The URL leads to a Unix socket. */
export async function startOwnPostgres(): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = await fs.mkdtemp(path.join(scratchParent(), 'sealwire-own-postgres-'))
  const { connection, stop } = await startEmbedded({ dataDir: folder, maxConnections: 200 }) // of several servers at once
  const { host, port, user, database } = connection
  return {
    url: `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`,
    async stop() {
      await stop()
      await fs.rm(folder, { recursive: true, force: true })
    },
  }
}
