import type { Command } from 'commander'
import { type Io, MisuseError } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

interface Options {
  envelopeVersions: string
}

const EXAMPLES = `
Examples:
  $ sealwire tenants set ten_… --envelope-versions 1,2    answers in version 1 for callers that ask for it
  $ sealwire tenants set ten_… --envelope-versions 2      version 2 only, as every tenant begins

Version 1 is for decoders of an older published format. The server makes its keys and hands them out; it signs neither the
request nor the time. Callers get it only with the header Envelope-Version: 1, and only with an API key that never enrolled.`

function parseVersions(text: string): [2] | [1, 2] {
  if (text === '2') return [2]
  if (text === '1,2') return [1, 2]
  throw new MisuseError('--envelope-versions: must be 2 or 1,2.')
}

/** `sealwire tenants set TENANT_ID` changes what the operator decides about a tenant; in force with its next request. */
export function addTenantsSet(tenants: Command, io: Io, load: LoadOperator): void {
  tenants
    .command('set <tenant-id>')
    .description('change a tenant; in force with its next request')
    .requiredOption('--envelope-versions <list>', 'which versions of the envelope callers may ask for: 2, or 1,2')
    .addHelpText('after', EXAMPLES)
    .action(async (tenantId: string, { envelopeVersions }: Options) => {
      const versions = parseVersions(envelopeVersions)
      const { setTenant } = await load()
      await setTenant(operatorConfig(io), tenantId, { envelopeVersions: versions }, { log: operatorLog(io) })
      io.err(`${tenantId}: envelope versions ${versions.join(' and ')}.`)
    })
}
