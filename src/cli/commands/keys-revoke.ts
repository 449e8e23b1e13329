import type { Command } from 'commander'
import type { Io } from '../io.ts'
import { assertConfirmed, bringRoot, SIGN_HINT, withKeys } from '../key-operator.ts'
import type { LoadOperator } from '../operator.ts'

const HELP = `
For a key that somebody else may hold. Where it was in use, its successor signs at once, without the wait of a rotation:
clients that do not know it fetch the key document when they meet it, at most once a minute. Until a client has fetched the
document (at most five minutes, the age that it may have in caches) it still believes the revoked key; then it refuses
everything that the key signed, whenever that was. There is no way back.

Example:
  $ sealwire keys revoke sig_… --yes`

const whatWillHappen = (id: string) =>
  `Nothing that ${id} signed opens any more once a client has fetched the key document, answers on their way included. ` +
  'Its private half is destroyed. If it is in use, a successor signs at once. There is no way back.'

/** `sealwire keys revoke ID` revokes a key of the key document. */
export function addKeysRevoke(keys: Command, io: Io, load: LoadOperator): void {
  keys
    .command('revoke <id>')
    .description('refuse from now on what an issuer or audit key has signed')
    .option('--root-file <file>', 'the root key, where it is offline: signs the document that says so')
    .option('--yes', 'I know that there is no way back')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (id: string, { rootFile, yes, json }: { rootFile?: string; yes?: true; json?: true }) => {
      assertConfirmed(yes === true, whatWillHappen(id))
      const { keyId, successorId, isInDocument } = await withKeys(io, load, async (operations) =>
        operations.revoke(id, await bringRoot(io, operations, rootFile)),
      )
      io.out(json ? JSON.stringify({ key_id: keyId, successor_id: successorId, in_document: isInDocument }) : keyId)
      io.err(successorId ? `${keyId} is revoked. ${successorId} signs from now on.` : `${keyId} is revoked.`)
      if (isInDocument) io.err('Clients learn of it when they next fetch the key document, within five minutes.')
      else io.err(SIGN_HINT)
    })
}
