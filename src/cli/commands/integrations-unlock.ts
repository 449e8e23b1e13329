import type { Command } from 'commander'
import { wholeNumber } from '../arguments.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'
import { readTextFile } from '../text-file.ts'

interface Options extends ServerOptions {
  custodyKeyFile: string
  ttlS?: number
  json?: true
}

const MAX_FILE_BYTES = 1024 * 1024
const EXAMPLES = `
Examples:
  $ sealwire integrations unlock int_01kat4hvr07rf9mm9f7nrvz4gg --custody-key-file line-4.custody
  $ pass show sealwire/line-4 | sealwire integrations unlock int_01kat4hvr07rf9mm9f7nrvz4gg --custody-key-file - --ttl-s 900

The custody key is read from a file or from standard input, never from an argument, which others on this machine could see.
The process that answers holds it; where several run behind one address, repeat the command until every process is named.`

/** `sealwire integrations unlock ID` hands in the custody key of the integration's credential, for a time. */
export function addIntegrationsUnlock(integrations: Command, io: Io): void {
  addServerOptions(integrations.command('unlock <id>'))
    .description('let an integration run whose credential is in split custody')
    .requiredOption(
      '--custody-key-file <file>',
      'holds the key that sealing the credential returned; - is standard input',
    )
    .option('--ttl-s <seconds>', 'for how long: 60 to 86400; default 3600', wholeNumber(60, 86_400))
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, options: Options) => {
      const { ttlS } = options
      const client = connect(io, options)
      const custodyKey = (await readTextFile(io, options.custodyKeyFile, MAX_FILE_BYTES)).trim()
      const input = { custodyKey, ...(ttlS !== undefined && { ttlS }) }
      const unlocked = await client.integrations.unlock(id, input, { signal: io.signal })
      const { unlockedUntil, processId } = unlocked
      if (options.json) io.out(JSON.stringify({ id, unlocked_until: unlockedUntil, process_id: processId }))
      else io.out(printable(`unlocked ${id} until ${unlockedUntil} in process ${processId}`))
    })
}
