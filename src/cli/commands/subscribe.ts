import type { Command } from 'commander'
import type { ReceivedMessage } from '../../sdk/index.ts'
import { qosOption, wholeNumber } from '../arguments.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { type Io, printable } from '../io.ts'

interface Options extends ServerOptions, RecipientOption {
  topic?: string
  qos?: 0 | 1 | 2
  maxMessages?: number
  waitMs?: number
  maxBytes?: number
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire subscribe int_… -t 'sensors/#' -n 10 -w 20000
  $ sealwire subscribe int_… -t 'sensors/#' --json | jq -r '.result.messages[].message'

Ends with the first bound that is met. A message that is not UTF-8 is printed as base64.`

function lineOf({ topic, message, encoding }: ReceivedMessage): string {
  return printable(`${topic} ${encoding === 'base64' ? 'base64:' : ''}${message}`.replaceAll('\n', '\\n'))
}

/** `sealwire subscribe INTEGRATION` collects messages and prints a line for each, from the verified answer. */
export function addSubscribe(program: Command, io: Io): void {
  addRecipientOption(addServerOptions(program.command('subscribe <integration>')))
    .description('collect messages; what is printed was verified and opened here')
    .option('-t, --topic <filter>', 'default the topic of the integration')
    .option('-q, --qos <qos>', '0, 1 or 2', qosOption)
    .option('-n, --max-messages <count>', 'default 100', wholeNumber(1, 1000))
    .option('-w, --wait-ms <ms>', 'default 5000', wholeNumber(0, 25_000))
    .option('--max-bytes <bytes>', 'of all messages together', wholeNumber(1, 8_388_608))
    .option('--json', 'print JSON, with the envelope')
    .addHelpText('after', EXAMPLES)
    .action(async (integrationId: string, options: Options) => {
      const { topic, qos, maxMessages, waitMs, maxBytes, json } = options
      const client = await connectSealed(io, options)
      const input = {
        integrationId,
        ...(topic !== undefined && { topic }),
        ...(qos !== undefined && { qos }),
        ...(maxMessages !== undefined && { maxMessages }),
        ...(waitMs !== undefined && { waitMs }),
        ...(maxBytes !== undefined && { maxBytes }),
      }
      const { result, envelope } = await client.proxy.subscribe(input, { signal: io.signal })
      if (json) io.out(JSON.stringify({ result, envelope }))
      else for (const message of result.messages) io.out(lineOf(message))
      if (result.truncated)
        io.err(
          'note: there may be more: a bound was met, or the broker, or what says what is allowed, was away meanwhile',
        )
    })
}
