import type { Command } from 'commander'
import type { ApiKey } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

function lineOf({ id, role, isActive, createdAt, name }: ApiKey): string {
  return printable([id, role.padEnd(6), isActive ? 'active ' : 'revoked', createdAt, name].join('  '))
}

/** `sealwire api-keys list` prints a line for each key. */
export function addApiKeysList(apiKeys: Command, io: Io): void {
  addServerOptions(apiKeys.command('list'))
    .description('list the API keys of the tenant')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire api-keys list')
    .action(async (options: ServerOptions & { json?: true }) => {
      const keys = await connect(io, options).apiKeys.list({ signal: io.signal })
      if (options.json) io.out(JSON.stringify(keys))
      else for (const key of keys) io.out(lineOf(key))
    })
}
