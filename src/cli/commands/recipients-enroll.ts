import { hostname } from 'node:os'
import type { Command } from 'commander'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import type { Io } from '../io.ts'
import { writeRecipientFile } from '../recipient-store.ts'

interface Options extends ServerOptions {
  out: string
  name?: string
  rootFingerprint?: string
  json?: true
}

const EXAMPLE = `
Example:
  $ sealwire recipients enroll --out recipient.json --root-fingerprint "$ROOT_FROM_THE_SERVER_LOG"

The file opens every answer to the API key. It is made with mode 0600; it does not hold the API key itself.`

/** `sealwire recipients enroll --out FILE` makes the key that opens the answers to an API key, here. */
export function addRecipientsEnroll(recipients: Command, io: Io): void {
  addServerOptions(recipients.command('enroll'))
    .description('make the key that opens the answers to this API key, and enrol it')
    .requiredOption('--out <file>', 'where the recipient is kept; never overwritten')
    .option('--name <name>', 'for people, in lists; default the name of this host')
    .option('--root-fingerprint <b64u>', 'the root to believe, from the server log; default the one it shows now')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLE)
    .action(async (options: Options) => {
      const { out, name = hostname(), rootFingerprint, json } = options
      const client = connect(io, options)
      const input = { name, ...(rootFingerprint !== undefined && { rootFingerprint }) }
      const recipient = await writeRecipientFile(out, () => client.recipients.enroll(input, { signal: io.signal }))
      const { recipientId, tenantId, root } = recipient
      io.out(json ? JSON.stringify({ recipient_id: recipientId, tenant_id: tenantId, root, file: out }) : recipientId)
      if (rootFingerprint === undefined) {
        io.err(`warning: the root was trusted on first use: ${root}`)
        io.err('hint: compare it with "root" in the log of the server')
      }
      io.err(`hint: export SEALWIRE_RECIPIENT=${out}`)
    })
}
