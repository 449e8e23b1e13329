import type { Command } from 'commander'
import type { Secret } from '../../core/secret.ts'
import { wholeNumber } from '../arguments.ts'
import type { Io } from '../io.ts'
import { assertConfirmed, readRoot, withKeys } from '../key-operator.ts'
import type { LoadOperator } from '../operator.ts'
import { writeRootFile } from '../root-file.ts'

const HELP = `
The root signs the list of public keys at /.well-known/sealwire-keys, and nothing else. Here, each process signs a list of
seven days by itself. Offline, the last list that you signed is served, for at most 90 days.

From here to offline and back:
  $ sealwire keys root offline --out /media/stick/root.json --yes
  $ sealwire keys rotate issuer --root-file /media/stick/root.json
  $ sealwire keys root sign --root-file /media/stick/root.json       before the list ends; it warns 7 days before
  $ sealwire keys root online --root-file /media/stick/root.json`

const OFFLINE_HELP = `
The file is JSON with the private key in the clear, mode 0600: write it to a medium that leaves this host, or encrypt it
(for example with age) and delete it here; wherever a root file is asked for, - reads it from a pipe. Without the file no
list can be signed after the 90 days: keep two copies. Backups of the database from before still hold the root, wrapped by
the KMS key.

Examples:
  $ sealwire keys root offline --out /media/stick/root.json --yes
  $ age -d root.json.age | sealwire keys root sign --root-file -`

/** The root may be in both places, or in the file alone. */
const UNFINISHED =
  '`sealwire keys root` says where the root is. Delete the file only if that says that it is in the database.'

const OFFLINE_MEANS =
  'The private root key leaves the database for a file. The present list of keys is signed for 90 days; after that, and for ' +
  'every new or revoked key, you need the file.'

/** `sealwire keys root …`: the root key, taken offline and brought back. */
export function addKeysRoot(keys: Command, io: Io, load: LoadOperator): void {
  const root = keys
    .command('root')
    .description('the fingerprint that recipients pin, and where the root key is')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async ({ json }: { json?: true }) => {
      const { fingerprint, isRootOffline, expiresAtS } = await withKeys(io, load, async (_operations, known) => ({
        fingerprint: known.rootFingerprint,
        ...(await known.documentState()),
      }))
      const expires = new Date(expiresAtS * 1000).toISOString()
      io.out(
        json
          ? JSON.stringify({ root: fingerprint, offline: isRootOffline, document_expires_at: expires })
          : fingerprint,
      )
      if (!isRootOffline) io.err('The root is in the database; each process signs the key document by itself.')
      else {
        const verb = expiresAtS * 1000 > Date.now() ? 'ends' : 'has ended: clients refuse answers since'
        io.err(`The root is offline. The key document ${verb} ${expires}.`)
        io.err('hint: sign another: sealwire keys root sign --root-file FILE')
      }
    })
  addOffline(root, io, load)
  addSign(root, io, load)
  addOnline(root, io, load)
}

/** `keys root` has the option too, and takes it from the commands under it. */
const wantsJson = (command: Command): boolean => command.optsWithGlobals<{ json?: true }>().json === true

function addOffline(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('offline')
    .description('export the root key to a file and remove it from the database')
    .requiredOption('--out <file>', 'a new file, mode 0600')
    .option('--yes', 'I have a safe place for the file')
    .option('--json', 'print JSON')
    .addHelpText('after', OFFLINE_HELP)
    .action(async ({ out, yes }: { out: string; yes?: true }, command: Command) => {
      assertConfirmed(yes === true, OFFLINE_MEANS)
      let isWritten = false
      const deliver = async (content: Secret<string>) => {
        await writeRootFile(out, content)
        isWritten = true
      }
      const { keyId, expiresAt } = await withKeys(io, load, (operations) => operations.root.takeOffline(deliver)).catch(
        (err: unknown) => {
          if (isWritten) io.err(`${out} holds the root key all the same: ${UNFINISHED}`)
          throw err
        },
      )
      const expires = expiresAt.toISOString()
      io.out(wantsJson(command) ? JSON.stringify({ key_id: keyId, document_expires_at: expires }) : keyId)
      io.err(`${keyId} is in ${out} and nowhere else but in old backups. Keep two copies off this host.`)
      io.err(`The key document ends ${expires}. Before that: sealwire keys root sign --root-file ${out}`)
    })
}

function addSign(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('sign')
    .description('sign the list of keys with the root that is offline')
    .requiredOption('--root-file <file>', 'from `keys root offline`; it is read, and not kept')
    .option('--days <days>', 'how long the list is believed, 1 to 90', wholeNumber(1, 90), 90)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire keys root sign --root-file /media/stick/root.json')
    .action(async ({ rootFile, days }: { rootFile: string; days: number }, command: Command) => {
      const { keyId, expiresAt } = await withKeys(io, load, async (operations) =>
        operations.root.sign(await readRoot(io, operations, rootFile), days),
      )
      const expires = expiresAt.toISOString()
      io.out(wantsJson(command) ? JSON.stringify({ key_id: keyId, document_expires_at: expires }) : expires)
      io.err(`${keyId} signed the list of keys; servers serve it within a second, until ${expires}.`)
    })
}

function addOnline(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('online')
    .description('put the root key back into the database')
    .requiredOption('--root-file <file>', 'from `keys root offline`')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire keys root online --root-file /media/stick/root.json')
    .action(async ({ rootFile }: { rootFile: string }, command: Command) => {
      const { keyId } = await withKeys(io, load, async (operations) =>
        operations.root.putBack(await readRoot(io, operations, rootFile)),
      )
      io.out(wantsJson(command) ? JSON.stringify({ key_id: keyId }) : keyId)
      io.err(`${keyId} is in the database again, wrapped; each process signs the key document by itself.`)
      io.err('The file holds it as well: delete every copy, or go on keeping it as safe as before.')
    })
}
