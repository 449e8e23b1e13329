import type { Command } from 'commander'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

/** `sealwire api-keys revoke ID` ends a key at once. */
export function addApiKeysRevoke(apiKeys: Command, io: Io): void {
  addServerOptions(apiKeys.command('revoke <id>'))
    .description('revoke an API key; every server refuses it within a second')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire api-keys revoke key_01kat4hvr07rf9mm9f7nrvz4gg')
    .action(async (id: string, options: ServerOptions & { json?: true }) => {
      await connect(io, options).apiKeys.revoke(id, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ id, revoked: true }) : printable(`revoked ${id}`))
    })
}
