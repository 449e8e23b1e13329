import type { Command } from 'commander'
import { type Io, MisuseError } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'

interface Options {
  envelopeVersions?: string
  rateLimit?: string
}

const EXAMPLES = `
Examples:
  $ sealwire tenants set ten_… --envelope-versions 1,2    answers in version 1 for callers that ask for it
  $ sealwire tenants set ten_… --envelope-versions 2      version 2 only, as every tenant begins
  $ sealwire tenants set ten_… --rate-limit 5000           cost units a second, for the tenant and each of its keys
  $ sealwire tenants set ten_… --rate-limit default        RATE_LIMIT_TENANT and RATE_LIMIT_KEY of the server again

A publish costs one unit, a batch one more for every ten messages; the API reference has the cost of every operation. Callers
see their quota in the headers RateLimit-Policy and RateLimit.

Version 1 is for decoders of an older published format. The server makes its keys and hands them out; it signs neither the
request nor the time. Callers get it only with the header Envelope-Version: 1, and only with an API key that never enrolled.`

function parseVersions(text: string): [2] | [1, 2] {
  if (text === '2') return [2]
  if (text === '1,2') return [1, 2]
  throw new MisuseError('--envelope-versions: must be 2 or 1,2.')
}

function parseRateLimit(text: string): number | null {
  if (text === 'default') return null
  const perSecond = /^\d{1,7}$/.test(text) ? Number(text) : 0
  if (perSecond >= 200 && perSecond <= 1_000_000) return perSecond
  throw new MisuseError('--rate-limit: must be 200 to 1000000 cost units a second, or default.')
}

/** `sealwire tenants set TENANT_ID` changes what the operator decides about a tenant; in force with its next request. */
export function addTenantsSet(tenants: Command, io: Io, load: LoadOperator): void {
  tenants
    .command('set <tenant-id>')
    .description('change a tenant; in force with its next request')
    .option('--envelope-versions <list>', 'which versions of the envelope callers may ask for: 2, or 1,2')
    .option('--rate-limit <units>', 'cost units a second of the tenant and of each of its keys, or default')
    .addHelpText('after', EXAMPLES)
    .action(async (tenantId: string, options: Options) => {
      const envelopeVersions =
        options.envelopeVersions === undefined ? undefined : parseVersions(options.envelopeVersions)
      const rateLimit = options.rateLimit === undefined ? undefined : parseRateLimit(options.rateLimit)
      if (!envelopeVersions && rateLimit === undefined)
        throw new MisuseError('Say what to set: --envelope-versions or --rate-limit.')
      const { setTenant } = await load()
      const settings = { ...(envelopeVersions && { envelopeVersions }), ...(rateLimit !== undefined && { rateLimit }) }
      await setTenant(operatorConfig(io), tenantId, settings, { log: operatorLog(io) })
      if (envelopeVersions) io.err(`${tenantId}: envelope versions ${envelopeVersions.join(' and ')}.`)
      if (rateLimit !== undefined)
        io.err(`${tenantId}: ${rateLimit === null ? 'the quota of the server' : `${rateLimit} cost units a second`}.`)
    })
}
