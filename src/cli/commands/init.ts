import type { Command } from 'commander'
import type { Io } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

/** `sealwire init` makes database, keys and the first tenant, and prints where its owner key is. */
export function addInit(program: Command, io: Io, load: LoadOperator): void {
  program
    .command('init')
    .description('make database, keys and the first tenant without starting the server')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ DATA_DIR=/var/lib/sealwire sealwire init')
    .action(async ({ json }: { json?: true }) => {
      const { initialise } = await load()
      const made = await initialise(operatorConfig(io), { log: operatorLog(io) })
      if (json) io.out(JSON.stringify(made ? { tenant_id: made.tenantId, owner_key_file: made.ownerKeyFile } : null))
      else if (made) io.out(`${made.tenantId} ${made.ownerKeyFile}`)
      if (!made) io.err('nothing to do: there is a tenant already')
      else io.err(`hint: export SEALWIRE_API_KEY=$(cat ${made.ownerKeyFile})`)
    })
}
