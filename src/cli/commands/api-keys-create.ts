import { type Command, Option } from 'commander'
import type { Role } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import type { Io } from '../io.ts'

interface Options extends ServerOptions {
  role?: Role
  scope?: string[]
  expiresAt?: string
  allowAddress?: string[]
  json?: true
}

const EXAMPLE = `
Example:
  $ KEY=$(sealwire api-keys create line-4 --role editor --scope proxy:publish --scope recipients:enroll)`

/** `sealwire api-keys create NAME` prints a new API key, once. */
export function addApiKeysCreate(apiKeys: Command, io: Io): void {
  addServerOptions(apiKeys.command('create <name>'))
    .description('make an API key; it can do no more than the key that makes it')
    .addOption(new Option('--role <role>', 'default viewer, the least').choices(['viewer', 'editor', 'admin', 'owner']))
    .option('--scope <scope...>', 'narrow what the role may do')
    .option('--expires-at <time>', 'RFC 3339, for example 2027-01-31T00:00:00Z')
    .option('--allow-address <cidr...>', 'addresses that may use the key')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLE)
    .action(async (name: string, options: Options) => {
      const { role, scope: scopes, expiresAt, allowAddress: allowedAddresses } = options
      const input = {
        name,
        ...(role && { role }),
        ...(scopes && { scopes }),
        ...(expiresAt && { expiresAt }),
        ...(allowedAddresses && { allowedAddresses }),
      }
      const { key, secret } = await connect(io, options).apiKeys.create(input, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ id: key.id, role: key.role, scopes: key.scopes, secret }) : secret)
      io.err(`${key.id} is made. The key is shown this once.`)
    })
}
