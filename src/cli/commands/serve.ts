import type { Command } from 'commander'
import type { Io } from '../io.ts'
import type { LoadOperator } from '../operator.ts'

const HELP = `
Example:
  $ PORT=8080 OUTBOUND_ALLOW=10.1.2.0/24 sealwire serve

Exits with 0 after a clean stop, also while the database is away: what could not be recorded then was answered as unknown.
With 1 when the start failed, something did not close, or what only this process knew (acknowledgements that came late, counts
of refusals) could not be put on record.`

/** `sealwire serve` runs the server until SIGINT or SIGTERM. */
export function addServe(program: Command, io: Io, load: LoadOperator, setExitCode: (code: number) => void): void {
  program
    .command('serve')
    .description('run the server until SIGINT or SIGTERM; configured by environment variables')
    .addHelpText('after', HELP)
    .action(async () => {
      const { serve } = await load()
      setExitCode(await serve(io.env))
    })
}
