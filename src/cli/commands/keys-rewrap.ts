import type { Command } from 'commander'
import { exit } from '../exit-codes.ts'
import { type Io, printable } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

const HELP = `
Every wrapped private half, and every share of a vault record whose tenant has no KMS key of its own, is unwrapped with the
KMS key that it names and wrapped under the new one, a row at a time, beside a running server. Interrupted or killed, the
same command goes on where it stopped; a running server does so by itself.

KMS_PROVIDER=local  The key is made in the ring, under the id that you give. The old one can be removed afterwards.
KMS_PROVIDER=aws    Start the servers with KMS_KEY_ID set to the new key first, so that nothing new is wrapped under the
                    old one; Decrypt goes on naming the key of each row.

Examples:
  $ sealwire keys rewrap --to local-2026-11
  $ sealwire keys rewrap --tenant ten_… --to arn:aws:kms:…    the shares of one tenant, under a KMS key of its own
  $ sealwire keys kms list
  $ sealwire keys kms remove local-2025-06`

/** Rows between two lines of progress. */
const REPORT_EVERY = 1_000

/** `sealwire keys rewrap` moves wraps to another KMS key. */
export function addKeysRewrap(keys: Command, io: Io, load: LoadOperator, setExitCode: (code: number) => void): void {
  keys
    .command('rewrap')
    .description('wrap everything under another KMS key')
    .requiredOption('--to <kms-key-id>', 'the KMS key')
    .option('--tenant <id>', 'only the shares of this tenant, and its new ones from now on')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async ({ to, tenant, json }: { to: string; tenant?: string; json?: true }) => {
      const { rewrapWraps } = await load()
      let rows = 0
      const { job, uses } = await rewrapWraps(
        operatorConfig(io),
        { to, tenantId: tenant },
        {
          log: operatorLog(io),
          signal: io.signal,
          onRow() {
            if (++rows % REPORT_EVERY === 0) io.err(`${rows} rows`)
          },
        },
      )
      if (json) {
        const { state, target, moved, unusableCount: unusable } = job
        io.out(JSON.stringify({ state, kms_key_id: target, moved, unusable, kms_keys: uses.map(useToWire) }))
      } else for (const use of uses) io.out(lineOf(use))
      if (job.state === 'done') io.err(`Done: ${job.moved} rows moved to ${job.target}.`)
      else {
        setExitCode(exit.failed)
        io.err(`Not done: ${job.unusableCount} rows do not open with the key that they name, and stay as they are.`)
        for (const name of job.unusable) io.err(printable(`  ${name}`))
        if (job.problem !== null) io.err(`It was stopped by ${job.problem}.`)
        io.err('hint: run the same command again once this is mended; a running server tries again by itself')
      }
    })
}

type Use = Awaited<ReturnType<Awaited<ReturnType<LoadOperator>>['listKmsKeys']>>[number]

function useToWire({ kmsKeyId, isDefault, keys, shares, tenants }: Use) {
  return { kms_key_id: kmsKeyId, default: isDefault, keys, shares, tenants }
}

function lineOf({ kmsKeyId, isDefault, keys, shares, tenants }: Use): string {
  const own = tenants.length > 0 ? [`tenants: ${tenants.join(', ')}`] : []
  const columns = [kmsKeyId, `keys: ${keys}`, `shares: ${shares}`, ...own, ...(isDefault ? ['for new wraps'] : [])]
  return printable(columns.join('  '))
}

/** `sealwire keys kms …`: the KMS keys that guard everything else. */
export function addKeysKms(keys: Command, io: Io, load: LoadOperator): void {
  const kms = keys.command('kms').description('the KMS keys, and what each guards')
  kms
    .command('list')
    .description('list KMS keys with the number of private halves and shares under each')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { listKmsKeys } = await load()
      const uses = await listKmsKeys(operatorConfig(io), { log: operatorLog(io) })
      if (json) io.out(JSON.stringify(uses.map(useToWire)))
      else for (const use of uses) io.out(lineOf(use))
    })
  kms
    .command('remove <id>')
    .description('remove a key from the ring of KMS_PROVIDER=local; refused while anything is wrapped under it')
    .action(async (id: string) => {
      const { removeKmsKey } = await load()
      await removeKmsKey(operatorConfig(io), id, { log: operatorLog(io) })
      io.err(`${id} is removed. A backup of the database from before needs a backup of the ring from before.`)
    })
}
