/** A process of its own that owns `argv[2]`: prints its connection as JSON, or the refusal, and stays until its stdin ends. */
import { startEmbedded } from '#src/db/embedded.ts'

const [dataDir = ''] = process.argv.slice(2)
try {
  const { connection, stop } = await startEmbedded({ dataDir })
  process.stdout.write(`${JSON.stringify(connection)}\n`)
  process.stdin.resume().once('end', () => stop())
} catch (err) {
  process.stdout.write(`${JSON.stringify({ refused: err instanceof Error ? err.message : String(err) })}\n`)
  process.exitCode = 1
}
