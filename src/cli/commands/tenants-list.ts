import type { Command } from 'commander'
import type { ListedTenant } from '../../app.ts'
import { type Io, printable } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

const EXAMPLE = `
A line is: id, when it was made, its API keys in use, name, and what was set for it.

Example:
  $ sealwire tenants list`

function toWire(tenant: ListedTenant) {
  return {
    id: tenant.id,
    name: tenant.name,
    sandbox: tenant.sandbox,
    created_at: tenant.createdAt.toISOString(),
    envelope_versions: tenant.envelopeVersions,
    rate_limit: tenant.rateLimit,
    kms_key_id: tenant.kmsKeyId,
    api_keys: tenant.apiKeys,
  }
}

function lineOf({
  id,
  name,
  sandbox,
  createdAt,
  envelopeVersions,
  rateLimit,
  kmsKeyId,
  apiKeys,
}: ListedTenant): string {
  const keys = `${apiKeys} ${apiKeys === 1 ? 'key' : 'keys'}`
  const settings = [
    ...(sandbox ? ['sandbox'] : []),
    ...(envelopeVersions.includes(1) ? ['envelope versions 1 and 2'] : []),
    ...(rateLimit === null ? [] : [`${rateLimit} cost units a second`]),
    ...(kmsKeyId === null ? [] : [`KMS key ${kmsKeyId}`]),
  ]
  return printable([id, createdAt.toISOString(), keys.padEnd(8), name, ...settings].join('  '))
}

/** `sealwire tenants list` prints a line for each tenant. */
export function addTenantsList(tenants: Command, io: Io, load: LoadOperator): void {
  tenants
    .command('list')
    .description('list the tenants of the deployment')
    .option('--json', 'print JSON, a line for each')
    .addHelpText('after', EXAMPLE)
    .action(async ({ json }: { json?: true }) => {
      const { eachTenant } = await load()
      await eachTenant(operatorConfig(io), { log: operatorLog(io) }, (tenant) =>
        io.out(json ? JSON.stringify(toWire(tenant)) : lineOf(tenant)),
      )
    })
}
