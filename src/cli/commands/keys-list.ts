import type { Command } from 'commander'
import { type Io, printable } from '../io.ts'
import { type KeyOperations, withKeys } from '../key-operator.ts'
import type { LoadOperator } from '../operator.ts'

type ListedKey = Awaited<ReturnType<KeyOperations['list']>>[number]

const EXAMPLE = `
A line is: id, purpose, state, since when, the KMS key that wraps it, and what depends on it.

Examples:
  $ sealwire keys list
  $ sealwire keys list --tenant ten_…       the keys of a tenant`

function toWire({ id, purpose, state, since, kmsKeyId, privateHalf, activeFrom, counts }: ListedKey) {
  return {
    id,
    purpose,
    state,
    since: since.toISOString(),
    kms_key_id: kmsKeyId,
    private_half: privateHalf,
    active_from: activeFrom?.toISOString() ?? null,
    counts,
  }
}

function lineOf(key: ListedKey): string {
  const half = key.privateHalf === 'offline' ? ['private half offline'] : []
  const from = key.activeFrom ? [`active from ${key.activeFrom.toISOString()}`] : []
  const counts = Object.entries(key.counts).map(([what, count]) => `${what.replaceAll('_', ' ')}: ${count}`)
  const columns = [key.id, key.purpose.padEnd(14), key.state.padEnd(9), key.since.toISOString(), key.kmsKeyId]
  return printable([...columns, ...half, ...from, ...counts].join('  '))
}

/** `sealwire keys list` prints a line for each key. */
export function addKeysList(keys: Command, io: Io, load: LoadOperator): void {
  keys
    .command('list')
    .description('list the keys of the deployment, with what depends on each')
    .option('--tenant <id>', 'the keys of a tenant instead; those of its recipients are left out')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLE)
    .action(async ({ tenant, json }: { tenant?: string; json?: true }) => {
      const listed = await withKeys(io, load, (operations) => operations.list(tenant))
      if (json) io.out(JSON.stringify(listed.map(toWire)))
      else for (const key of listed) io.out(lineOf(key))
    })
}
