import type { Command } from 'commander'
import {
  addRecipientOption,
  addServerOptions,
  connect,
  findRecipient,
  namedServer,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { type Io, printable } from '../io.ts'
import { shortSuite } from '../suite-option.ts'

const EXAMPLES = `
Examples:
  $ sealwire recipients show                            the one of the recipient file, as the server knows it
  $ sealwire recipients show rcp_01kat4hvr07rf9mm9f7nrvz4gg`

/** `sealwire recipients show [ID]` prints what the server knows of one recipient. */
export function addRecipientsShow(recipients: Command, io: Io): void {
  addRecipientOption(addServerOptions(recipients.command('show [id]')))
    .description('show one recipient: state, suite, API key; by default that of the recipient file')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (given: string | undefined, options: ServerOptions & RecipientOption & { json?: true }) => {
      const file = given === undefined ? await findRecipient(io, options) : undefined
      const baseUrl = namedServer(io, options) ?? file?.baseUrl
      const client = connect(io, { ...options, ...(baseUrl !== undefined && { baseUrl }) })
      const one = await client.recipients.get(given ?? file?.recipientId ?? '', { signal: io.signal })
      if (options.json) {
        io.out(JSON.stringify(one))
        return
      }
      const rows = { ...one, suite: shortSuite(one.suite), confirmedAt: one.confirmedAt ?? 'never' }
      for (const [member, value] of Object.entries(rows)) io.out(printable(`${member.padEnd(11)} ${value}`))
    })
}
