import type { Command } from 'commander'
import type { Recipient } from '../../sdk/index.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  recipientFile,
  type ServerOptions,
} from '../connect.ts'
import { hintAtManager } from '../enrolment-hints.ts'
import type { Io } from '../io.ts'
import { keepRecipient } from '../recipient-store.ts'
import { suiteOf, suiteOption } from '../suite-option.ts'

interface Options extends ServerOptions, RecipientOption {
  name?: string
  suite?: string
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire recipients rotate
  $ sealwire recipients rotate --recipient recipient.json --suite x-wing

The new key is enrolled for the same API key, under the same root, and takes the place of the file when it is on the disk and
the server has switched to it. Interrupted, the same command goes on where it stopped. Needs an API key with keys:manage;
for a key without, make another one and enrol with it.

Other programs with the old file stop opening answers: hand them the new one, or rotate from within, with the SDK.`

/** `sealwire recipients rotate` replaces the key in a recipient file by a new one. */
export function addRecipientsRotate(recipients: Command, io: Io): void {
  addRecipientOption(addServerOptions(recipients.command('rotate')))
    .description('replace the key of a recipient file by a new one; the old file stays until the new one serves')
    .option('--name <name>', 'for people, in lists; default the name it has')
    .addOption(suiteOption('the key to make; default of the same kind'))
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const { name, suite, json } = options
      const file = recipientFile(io, options)
      const client = await connectSealed(io, options)
      const call = { signal: io.signal }
      const { recipient, resumed } = await keepRecipient(file, {
        enrol: (keep) =>
          client.recipients.rotate({ ...suiteOf(suite), ...(name !== undefined && { name }), keep }, call),
        confirm: (pending: Recipient) => client.recipients.confirm(pending, call),
        replaces: true,
        hint: (text) => io.err(`hint: ${text}`),
      }).catch((err: unknown) => {
        hintAtManager(io, err)
        throw err
      })
      const { recipientId, tenantId } = recipient
      io.out(json ? JSON.stringify({ recipient_id: recipientId, tenant_id: tenantId, file, resumed }) : recipientId)
      if (resumed) io.err('note: this finished a rotation that was interrupted')
    })
}
