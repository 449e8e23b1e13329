import type { Command } from 'commander'
import type { Io } from '../io.ts'
import type { LoadOperator } from '../operator.ts'
import { addKeysDestroy } from './keys-destroy.ts'
import { addKeysList } from './keys-list.ts'
import { addKeysRevoke } from './keys-revoke.ts'
import { addKeysKms, addKeysRewrap } from './keys-rewrap.ts'
import { addKeysRoot } from './keys-root.ts'
import { addKeysRotate } from './keys-rotate.ts'
import { addKeysVault } from './keys-vault.ts'

const HELP = `
The keys of the deployment:
  issuer   signs every answer; readers know it from /.well-known/sealwire-keys
  audit    for checkpoints of the audit log; in the same document
  root     signs that document and nothing else; every recipient has pinned it
  pepper   what API keys are stored under
  cursor   authenticates the cursors of lists
The canary proves at every start that all the others open; it and the audit-head key stay for the life of the database.

States: next (published, not used yet), active, retired (still verifies), revoked (verifies nothing), destroyed (the
private half is gone).

On a quiet afternoon:
  $ sealwire keys list
  $ sealwire keys rotate issuer          publishes a key; the server activates it in six minutes

When the issuer key may be known to somebody:
  $ sealwire keys revoke sig_… --yes     a successor signs at once

All of it works beside a running server, which follows within a second, and is in the audit log.`

/** `sealwire keys …`: the keys of the deployment, for the operator of the host. */
export function addKeys(keys: Command, io: Io, load: LoadOperator, setExitCode: (code: number) => void): void {
  keys.addHelpText('after', HELP)
  addKeysList(keys, io, load)
  addKeysRotate(keys, io, load)
  addKeysRevoke(keys, io, load)
  addKeysDestroy(keys, io, load)
  addKeysRoot(keys, io, load)
  addKeysRewrap(keys, io, load, setExitCode)
  addKeysKms(keys, io, load)
  addKeysVault(keys, io)
}
