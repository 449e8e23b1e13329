import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { type RequestInput, type RequestResult, SealwireError } from '../../sdk/index.ts'
import { qosOption, wholeNumber } from '../arguments.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { exit } from '../exit-codes.ts'
import { type Io, printable } from '../io.ts'
import {
  addMessageOptions,
  addPropertyOptions,
  type MessageOptions,
  type PropertyOptions,
  propertiesOf,
  readMessage,
} from '../message-input.ts'

interface Options extends ServerOptions, RecipientOption, MessageOptions, PropertyOptions {
  topic?: string
  qos?: 0 | 1 | 2
  waitMs?: number
  deadlineMs?: number
  idempotencyKey?: string
  dryRun?: true
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire request int_… -t line/4/status -m '?'
  $ sealwire request int_… -t line/4/set --encoding json -m '{"speed": 3}' -w 10000 --json | jq .result.reply
  $ sealwire request int_… -t line/4/status -m '?' --response-topic replies/line-4

How it works: the server subscribes to a response topic, publishes your message with that topic and with correlation data
(MQTT 5), and gives you the first message that comes back with the same data. Whoever answers reads both from your message.
Mosquitto holds each reply back for 40 ms unless its configuration says set_tcp_nodelay true.

What it needs: protocol_version 5, allowed_operations ["publish", "subscribe"], and a place for the reply. Either set
config.reply_prefix of the integration, and each request has a topic of its own, <reply_prefix>/<API key id>/<random>; or
name one with --response-topic. You must be allowed to subscribe to it: cover it with config.topics, for example
"replies/#", or with a policy rule on "replies/\${clientId}/#", where clientId is the id of your API key.

Standard output is the reply, in base64 behind "base64:" where it is not UTF-8; what became of the message goes to standard
error. Exit code 1 also when no reply came. Exit code 3: the message may have gone out; repeat the command with the
--idempotency-key that it printed, and nothing is sent twice. A reply is not kept: a repeated command tells only what became
of the message.`

/** Why there is no reply, in words that complete "no reply: ". */
const reasons: Readonly<Record<NonNullable<RequestResult['noReply']>, string>> = {
  timeout: 'none came in time; -w waits longer',
  connection_ended: 'the connection that it would have come on ended',
  withheld: 'one came, and policy or allow list did not let it through, or could not be asked',
  too_large: 'one came, and it is longer than an answer holds',
  not_kept: 'an earlier attempt with this idempotency key had one, and replies are not kept',
}

function lineOf({ message, encoding }: NonNullable<RequestResult['reply']>): string {
  return printable(`${encoding === 'base64' ? 'base64:' : ''}${message}`)
}

function outcomeLine({ outcome, messageId, topic, qos, noSubscribers, replayed }: RequestResult): string {
  const notes = [noSubscribers && 'no subscribers', replayed && 'done by an earlier attempt'].filter(Boolean)
  return printable(['note:', outcome, messageId, `qos ${qos}`, topic, ...notes].join('  '))
}

/** `sealwire request INTEGRATION` publishes a message, awaits its reply and prints it, from the verified answer. */
export function addRequest(program: Command, io: Io, setExitCode: (code: number) => void): void {
  const command = addRecipientOption(addServerOptions(program.command('request <integration>')))
    .description('publish a message and print the reply to it (MQTT 5); what is printed was verified and opened here')
    .option('-t, --topic <topic>', 'default the topic of the integration')
  addPropertyOptions(addMessageOptions(command))
    .option('-q, --qos <qos>', '0, 1 or 2; default that of the integration', qosOption)
    .option('-w, --wait-ms <ms>', 'for the reply, from the acknowledgement on; default 5000', wholeNumber(0, 25_000))
    .option('--deadline-ms <ms>', 'for all of it; default the waiting time and 5000', wholeNumber(10, 30_000))
    .option('--idempotency-key <key>', 'names this request; random by default')
    .option('--dry-run', 'run every check and send nothing')
    .option('--json', 'print JSON, with the envelope')
    .addHelpText('after', EXAMPLES)
    .action(async (integrationId: string, options: Options) => {
      const { topic, qos, waitMs, deadlineMs, json, idempotencyKey = randomUUID() } = options
      const client = await connectSealed(io, options)
      const properties = propertiesOf(options)
      const input: RequestInput = {
        integrationId,
        ...(await readMessage(io, options)),
        ...(topic !== undefined && { topic }),
        ...(qos !== undefined && { qos }),
        ...(waitMs !== undefined && { waitMs }),
        ...(properties && { properties }),
      }
      const call = { signal: io.signal, idempotencyKey, ...(deadlineMs !== undefined && { deadlineMs }) }
      if (options.dryRun) {
        const { result, envelope } = await client.proxy.dryRun('request', input, call)
        if (json) io.out(JSON.stringify({ result, envelope }))
        else for (const line of [result.allowed ? 'allowed' : 'refused', ...result.trace]) io.out(printable(line))
        return
      }
      try {
        const { result, envelope } = await client.proxy.request(input, call)
        const { reply, noReply } = result
        if (json) io.out(JSON.stringify({ result, envelope }))
        else {
          io.err(outcomeLine(result))
          if (reply) io.out(lineOf(reply))
        }
        if (reply) return
        io.err(`error: no reply: ${reasons[noReply ?? 'timeout']}`)
        setExitCode(exit.failed)
      } catch (err) {
        const mayHaveRun = err instanceof SealwireError && err.outcome === 'unknown'
        if (mayHaveRun && err.details?.['replied'] === true) io.err('note: a reply came: somebody has the message')
        if (mayHaveRun) io.err(`hint: nothing is sent twice if you repeat it with --idempotency-key ${idempotencyKey}`)
        throw err
      }
    })
}
