import type { Command } from 'commander'
import type { Io } from '../io.ts'
import type { LoadOperator } from '../operator.ts'

/** `sealwire serve` runs the server until SIGINT or SIGTERM. */
export function addServe(program: Command, io: Io, load: LoadOperator, setExitCode: (code: number) => void): void {
  program
    .command('serve')
    .description('run the server until SIGINT or SIGTERM; configured by environment variables')
    .addHelpText('after', '\nExample:\n  $ PORT=8080 OUTBOUND_ALLOW=10.1.2.0/24 sealwire serve')
    .action(async () => {
      const { serve } = await load()
      setExitCode(await serve(io.env))
    })
}
