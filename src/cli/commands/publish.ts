import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { type PublishInput, type PublishResult, SealwireError } from '../../sdk/index.ts'
import { qosOption, wholeNumber } from '../arguments.ts'
import { readBatchFile } from '../batch-file.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import {
  addMessageOptions,
  addPropertyOptions,
  type MessageOptions,
  type PropertyOptions,
  propertiesOf,
  readMessage,
} from '../message-input.ts'
import { publishBatch } from '../publish-batch.ts'

interface Options extends ServerOptions, RecipientOption, MessageOptions, PropertyOptions {
  batch?: string
  topic?: string
  qos?: 0 | 1 | 2
  retain?: true
  deadlineMs?: number
  idempotencyKey?: string
  dryRun?: true
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire publish int_… -t sensors/temperature -m 22.5 -q 1
  $ sealwire publish int_… -t line/4 --encoding json -m '{"speed": 3}'
  $ sealwire publish int_… -t camera/4 --stdin --content-type image/jpeg < picture.jpg
  $ sealwire publish int_… -t line/4 -m go --user-property shift=night --user-property trace=4711
  $ sealwire publish int_… -t line/4 -q 1 --batch messages.jsonl

A batch is 1 to 1,000 messages, at most 1 MiB, in one call and in order: one JSON object a line, or a JSON array of them.
  {"message": "22.5"}
  {"topic": "line/5", "message": {"speed": 3}, "encoding": "json", "qos": 2, "retain": true}
-t, -q, -r, --encoding and properties are for those that name none. A line tells what became of each; exit code 0 when all
went out, else 3 when of one nobody knows, 4 when one was not sent and may be tried again, 1 when one was refused.

Exit code 3: the message may have gone out. Repeat the command with the --idempotency-key that it printed; nothing is
sent twice.`

function lineOf({ outcome, messageId, topic, qos, noSubscribers, replayed }: PublishResult): string {
  const notes = [noSubscribers && 'no subscribers', replayed && 'done by an earlier attempt'].filter(Boolean)
  return printable([outcome, messageId, `qos ${qos}`, topic, ...notes].join('  '))
}

/** `sealwire publish INTEGRATION` publishes one message and prints what became of it, from the verified answer. */
export function addPublish(program: Command, io: Io, setExitCode: (code: number) => void): void {
  const command = addRecipientOption(addServerOptions(program.command('publish <integration>')))
    .description('publish a message, or a batch; what is printed was verified and opened here')
    .option('-t, --topic <topic>', 'default the topic of the integration')
  addPropertyOptions(addMessageOptions(command))
    .option('--batch <file>', 'publish many messages, from a file or with - from standard input, in place of -m')
    .option('-q, --qos <qos>', '0, 1 or 2; default that of the integration', qosOption)
    .option('-r, --retain')
    .option(
      '--deadline-ms <ms>',
      'how long the server waits for the broker; default that of the server',
      wholeNumber(10, 30_000),
    )
    .option('--idempotency-key <key>', 'names this publish; random by default')
    .option('--dry-run', 'run every check and send nothing')
    .option('--json', 'print JSON, with the envelope')
    .addHelpText('after', EXAMPLES)
    .action(async (integrationId: string, options: Options) => {
      const { topic, qos, retain, deadlineMs, json, batch, dryRun, idempotencyKey = randomUUID() } = options
      const client = await connectSealed(io, options)
      const properties = propertiesOf(options)
      const common = {
        integrationId,
        ...(topic !== undefined && { topic }),
        ...(qos !== undefined && { qos }),
        ...(retain && { retain }),
        ...(properties && { properties }),
      }
      const call = { signal: io.signal, idempotencyKey, ...(deadlineMs !== undefined && { deadlineMs }) }
      const onFailure = (err: unknown): never => {
        const mayHaveRun = err instanceof SealwireError && err.outcome === 'unknown'
        if (mayHaveRun) io.err(`hint: nothing is sent twice if you repeat it with --idempotency-key ${idempotencyKey}`)
        throw err
      }
      if (batch !== undefined) {
        if (options.message !== undefined || options.stdin)
          throw new MisuseError('--batch is in place of -m and --stdin.')
        const isGiven = command.getOptionValueSource('encoding') === 'cli'
        const messages = await readBatchFile(io, batch)
        const input = { ...common, ...(isGiven && { encoding: options.encoding }), messages }
        setExitCode(await publishBatch(io, client, input, call, { dryRun, json }).catch(onFailure))
        return
      }
      const input: PublishInput = { ...common, ...(await readMessage(io, options)) }
      if (dryRun) {
        const { result, envelope } = await client.proxy.dryRun('publish', input, call)
        if (json) io.out(JSON.stringify({ result, envelope }))
        else for (const line of [result.allowed ? 'allowed' : 'refused', ...result.trace]) io.out(printable(line))
        return
      }
      const { result, envelope } = await client.proxy.publish(input, call).catch(onFailure)
      io.out(json ? JSON.stringify({ result, envelope }) : lineOf(result))
    })
}
