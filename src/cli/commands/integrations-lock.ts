import type { Command } from 'commander'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

/** `sealwire integrations lock ID` ends an unlock, in every process. */
export function addIntegrationsLock(integrations: Command, io: Io): void {
  addServerOptions(integrations.command('lock <id>'))
    .description('take the custody key back from every process; its connections end')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire integrations lock int_01kat4hvr07rf9mm9f7nrvz4gg')
    .action(async (id: string, options: ServerOptions & { json?: true }) => {
      await connect(io, options).integrations.lock(id, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ id, locked: true }) : printable(`locked ${id}`))
    })
}
