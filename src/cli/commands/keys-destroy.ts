import type { Command } from 'commander'
import { counted } from '../counted.ts'
import type { Io } from '../io.ts'
import { assertConfirmed, withKeys } from '../key-operator.ts'
import type { LoadOperator } from '../operator.ts'

const HELP = `
A running server destroys what is retired by itself, as soon as nothing needs it. By hand it is for a pepper that API keys
are still under: with --force they stop working, and their owners need new ones. Backups from before still hold the key,
wrapped.

Example:
  $ sealwire keys list                       says how many API keys are under each pepper
  $ sealwire keys destroy pep_… --yes`

const whatWillHappen = (id: string, force: boolean) =>
  `The private half of ${id} is gone for good.${force ? ' Every API key that is still under it stops working.' : ''}`

/** `sealwire keys destroy ID` destroys the private half of a retired key. */
export function addKeysDestroy(keys: Command, io: Io, load: LoadOperator): void {
  keys
    .command('destroy <id>')
    .description('destroy the private half of a retired key')
    .option('--force', 'for a pepper: also when API keys are still under it, which then stop working')
    .option('--yes', 'I know that there is no way back')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (id: string, { force, yes, json }: { force?: true; yes?: true; json?: true }) => {
      assertConfirmed(yes === true, whatWillHappen(id, force === true))
      const { keyId, apiKeys } = await withKeys(io, load, (operations) =>
        operations.destroy(id, { force: force === true }),
      )
      io.out(json ? JSON.stringify({ key_id: keyId, stopped_api_keys: apiKeys }) : keyId)
      io.err(`The private half of ${keyId} is destroyed.`)
      if (apiKeys > 0) io.err(`${counted(apiKeys, 'API key')} stopped working.`)
    })
}
