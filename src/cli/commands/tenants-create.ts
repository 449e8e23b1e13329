import type { Command } from 'commander'
import type { Io } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

interface Options {
  sandbox?: true
  json?: true
}

/** `sealwire tenants create NAME` makes a tenant and prints its first owner key, once. */
export function addTenantsCreate(tenants: Command, io: Io, load: LoadOperator): void {
  tenants
    .command('create <name>')
    .description('make a tenant; prints its first owner key, which is stored nowhere')
    .option('--sandbox', 'its keys begin with qs_test_')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire tenants create plant-4 > plant-4.key')
    .action(async (name: string, { sandbox, json }: Options) => {
      const { createTenant } = await load()
      const { tenantId, ownerKey } = await createTenant(
        operatorConfig(io),
        { name, sandbox: sandbox === true },
        { log: operatorLog(io) },
      )
      io.out(json ? JSON.stringify({ tenant_id: tenantId, owner_key: ownerKey.reveal() }) : ownerKey.reveal())
      io.err(`${tenantId} is made. Its owner key is shown this once.`)
    })
}
