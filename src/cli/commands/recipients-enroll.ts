import { hostname } from 'node:os'
import type { Command } from 'commander'
import type { Recipient } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { hintAtManager } from '../enrolment-hints.ts'
import type { Io } from '../io.ts'
import { keepRecipient } from '../recipient-store.ts'
import { suiteOf, suiteOption } from '../suite-option.ts'

interface Options extends ServerOptions {
  out: string
  name?: string
  suite?: string
  rootFingerprint?: string
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire recipients enroll --out recipient.json --root-fingerprint "$ROOT_FROM_THE_SERVER_LOG"
  $ sealwire recipients enroll --out recipient.json --suite x-wing

The file opens every answer to the API key. It is made with mode 0600; it does not hold the API key itself. Interrupted, the
same command goes on where it stopped. An API key that had a recipient before needs keys:manage for another one.`

/** `sealwire recipients enroll --out FILE` makes the key that opens the answers to an API key, here. */
export function addRecipientsEnroll(recipients: Command, io: Io): void {
  addServerOptions(recipients.command('enroll'))
    .description('make the key that opens the answers to this API key, and enrol it')
    .requiredOption('--out <file>', 'where the recipient is kept; never overwritten')
    .option('--name <name>', 'for people, in lists; default the name of this host')
    .addOption(suiteOption('the key to make; x-wing also holds if ML-KEM should break; default ml-kem-768'))
    .option('--root-fingerprint <b64u>', 'the root to believe, from the server log; default the one it shows now')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const { out, name = hostname(), suite, rootFingerprint, json } = options
      const client = connect(io, options)
      const call = { signal: io.signal }
      const input = { name, ...suiteOf(suite), ...(rootFingerprint !== undefined && { rootFingerprint }) }
      const { recipient } = await keepRecipient(out, {
        enrol: (keep) => client.recipients.enroll({ ...input, keep }, call),
        confirm: (pending: Recipient) => client.recipients.confirm(pending, call),
        replaces: false,
        hint: (text) => io.err(`hint: ${text}`),
      }).catch((err: unknown) => {
        hintAtManager(io, err)
        throw err
      })
      const { recipientId, tenantId, root } = recipient
      io.out(json ? JSON.stringify({ recipient_id: recipientId, tenant_id: tenantId, root, file: out }) : recipientId)
      if (rootFingerprint === undefined) {
        io.err(`warning: the root was trusted on first use: ${root}`)
        io.err('hint: compare it with "root" in the log of the server')
      }
      io.err(`hint: export SEALWIRE_RECIPIENT=${out}`)
    })
}
