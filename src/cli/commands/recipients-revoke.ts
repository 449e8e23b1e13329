import type { Command } from 'commander'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

const EXAMPLE = `
Example:
  $ sealwire recipients revoke rcp_01kat4hvr07rf9mm9f7nrvz4gg

Its API key gets 409 recipient.required until it enrols again, which needs keys:manage; a new API key enrols without.`

/** `sealwire recipients revoke ID` ends a recipient at once. */
export function addRecipientsRevoke(recipients: Command, io: Io): void {
  addServerOptions(recipients.command('revoke <id>'))
    .description('end a recipient; within a second no server seals to it any more')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLE)
    .action(async (id: string, options: ServerOptions & { json?: true }) => {
      const ended = await connect(io, options).recipients.revoke(id, { signal: io.signal })
      io.out(options.json ? JSON.stringify(ended) : printable(`revoked ${ended.id} of ${ended.apiKeyId}`))
    })
}
