import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import { parseStrictJson } from '../../core/strict-json.ts'
import { type PublishInput, type PublishResult, SealwireError } from '../../sdk/index.ts'
import { qosOption, wholeNumber } from '../arguments.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { type Io, MisuseError, printable } from '../io.ts'

interface Options extends ServerOptions, RecipientOption {
  topic?: string
  message?: string
  stdin?: true
  encoding: 'utf8' | 'base64' | 'json'
  qos?: 0 | 1 | 2
  retain?: true
  deadlineMs?: number
  idempotencyKey?: string
  dryRun?: true
  json?: true
}

const MAX_MESSAGE_BYTES = 1024 * 1024
const EXAMPLES = `
Examples:
  $ sealwire publish int_… -t sensors/temperature -m 22.5 -q 1
  $ sealwire publish int_… -t line/4 --encoding json -m '{"speed": 3}'
  $ sealwire publish int_… -t camera/4 --stdin < picture.jpg

Exit code 3: the message may have gone out. Repeat the command with the --idempotency-key that it printed; nothing is
sent twice.`

async function messageOf(
  io: Io,
  { message, stdin, encoding }: Options,
): Promise<Pick<PublishInput, 'message' | 'encoding'>> {
  if ((message === undefined) === (stdin === undefined))
    throw new MisuseError('Give the message with -m, or with --stdin.')
  if (message === undefined) return { message: await io.stdin(MAX_MESSAGE_BYTES) }
  if (encoding !== 'json') return { message, encoding }
  try {
    return { message: parseStrictJson(message), encoding }
  } catch (err) {
    throw new MisuseError(`-m is not JSON: ${(err as Error).message}`)
  }
}

function lineOf({ outcome, messageId, topic, qos, noSubscribers, replayed }: PublishResult): string {
  const notes = [noSubscribers && 'no subscribers', replayed && 'done by an earlier attempt'].filter(Boolean)
  return printable([outcome, messageId, `qos ${qos}`, topic, ...notes].join('  '))
}

/** `sealwire publish INTEGRATION` publishes one message and prints what became of it, from the verified answer. */
export function addPublish(program: Command, io: Io): void {
  addRecipientOption(addServerOptions(program.command('publish <integration>')))
    .description('publish a message; what is printed was verified and opened here')
    .option('-t, --topic <topic>', 'default the topic of the integration')
    .option('-m, --message <text>')
    .option('--stdin', 'the message is standard input, byte for byte, at most 1 MiB')
    .addOption(
      new Option('--encoding <encoding>', 'how -m is written').choices(['utf8', 'base64', 'json']).default('utf8'),
    )
    .option('-q, --qos <qos>', '0, 1 or 2; default that of the integration', qosOption)
    .option('-r, --retain')
    .option('--deadline-ms <ms>', 'how long the server waits for the broker; default 10000', wholeNumber(10, 30_000))
    .option('--idempotency-key <key>', 'names this publish; random by default')
    .option('--dry-run', 'run every check and send nothing')
    .option('--json', 'print JSON, with the envelope')
    .addHelpText('after', EXAMPLES)
    .action(async (integrationId: string, options: Options) => {
      const { topic, qos, retain, deadlineMs, json, idempotencyKey = randomUUID() } = options
      const client = await connectSealed(io, options)
      const input: PublishInput = {
        integrationId,
        ...(await messageOf(io, options)),
        ...(topic !== undefined && { topic }),
        ...(qos !== undefined && { qos }),
        ...(retain && { retain }),
      }
      const call = { signal: io.signal, idempotencyKey, ...(deadlineMs !== undefined && { deadlineMs }) }
      if (options.dryRun) {
        const { result, envelope } = await client.proxy.dryRun('publish', input, call)
        if (json) io.out(JSON.stringify({ result, envelope }))
        else for (const line of [result.allowed ? 'allowed' : 'refused', ...result.trace]) io.out(printable(line))
        return
      }
      try {
        const { result, envelope } = await client.proxy.publish(input, call)
        io.out(json ? JSON.stringify({ result, envelope }) : lineOf(result))
      } catch (err) {
        const mayHaveRun = err instanceof SealwireError && err.outcome === 'unknown'
        if (mayHaveRun) io.err(`hint: nothing is sent twice if you repeat it with --idempotency-key ${idempotencyKey}`)
        throw err
      }
    })
}
