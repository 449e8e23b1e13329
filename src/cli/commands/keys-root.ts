import type { Command } from 'commander'
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
(for example with age) and delete it here. Without the file no list can be signed after the 90 days: keep two copies.
Backups of the database from before still hold the root, wrapped by the KMS key.

Example:
  $ sealwire keys root offline --out /media/stick/root.json --yes`

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
      else io.err(`The root is offline. The key document ends ${expires}: sealwire keys root sign --root-file FILE`)
    })
  addOffline(root, io, load)
  addSign(root, io, load)
  addOnline(root, io, load)
}

function addOffline(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('offline')
    .description('export the root key to a file and remove it from the database')
    .requiredOption('--out <file>', 'a new file, mode 0600')
    .option('--yes', 'I have a safe place for the file')
    .addHelpText('after', OFFLINE_HELP)
    .action(async ({ out, yes }: { out: string; yes?: true }) => {
      assertConfirmed(yes === true, OFFLINE_MEANS)
      const { keyId, expiresAt } = await withKeys(io, load, (operations) =>
        operations.root.takeOffline((content) => writeRootFile(out, content)),
      )
      io.out(keyId)
      io.err(`${keyId} is in ${out} and nowhere else but in old backups. Keep two copies off this host.`)
      io.err(
        `The key document ends ${expiresAt.toISOString()}. Before that: sealwire keys root sign --root-file ${out}`,
      )
    })
}

function addSign(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('sign')
    .description('sign the list of keys with the root that is offline')
    .requiredOption('--root-file <file>', 'from `keys root offline`; it is read, and not kept')
    .option('--days <days>', 'how long the list is believed, 1 to 90', wholeNumber(1, 90), 90)
    .addHelpText('after', '\nExample:\n  $ sealwire keys root sign --root-file /media/stick/root.json')
    .action(async ({ rootFile, days }: { rootFile: string; days: number }) => {
      const { keyId, expiresAt } = await withKeys(io, load, async (operations) =>
        operations.root.sign(await readRoot(operations, rootFile), days),
      )
      io.out(expiresAt.toISOString())
      io.err(`${keyId} signed the list of keys; servers serve it within a second, until ${expiresAt.toISOString()}.`)
    })
}

function addOnline(root: Command, io: Io, load: LoadOperator): void {
  root
    .command('online')
    .description('put the root key back into the database')
    .requiredOption('--root-file <file>', 'from `keys root offline`')
    .addHelpText('after', '\nExample:\n  $ sealwire keys root online --root-file /media/stick/root.json')
    .action(async ({ rootFile }: { rootFile: string }) => {
      const { keyId } = await withKeys(io, load, async (operations) =>
        operations.root.putBack(await readRoot(operations, rootFile)),
      )
      io.out(keyId)
      io.err(`${keyId} is in the database again, wrapped; each process signs the key document by itself.`)
    })
}
