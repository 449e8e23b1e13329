import type { Command } from 'commander'
import type { RecipientInfo } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'
import { shortSuite } from '../suite-option.ts'

function lineOf({ id, state, custody, suite, apiKeyId, createdAt, name }: RecipientInfo): string {
  const columns = [id, state.padEnd(7), custody.padEnd(6), shortSuite(suite).padEnd(10), apiKeyId, createdAt, name]
  return printable(columns.join('  '))
}

/** `sealwire recipients list` prints a line for each recipient. */
export function addRecipientsList(recipients: Command, io: Io): void {
  addServerOptions(recipients.command('list'))
    .description('list the recipients of this API key; of the whole tenant with keys:manage')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire recipients list')
    .action(async (options: ServerOptions & { json?: true }) => {
      const all = await connect(io, options).recipients.list({ signal: io.signal })
      if (options.json) io.out(JSON.stringify(all))
      else for (const one of all) io.out(lineOf(one))
    })
}
