import { type Command, Option } from 'commander'
import { parseStrictJson } from '../core/strict-json.ts'
import type { MessageProperties, PublishInput } from '../sdk/index.ts'
import { wholeNumber } from './arguments.ts'
import { type Io, MisuseError } from './io.ts'

/** Options that say what a message is. */
export interface MessageOptions {
  message?: string
  stdin?: true
  encoding: 'utf8' | 'base64' | 'json'
}

/** Options that say which MQTT 5 properties it has. */
export interface PropertyOptions {
  contentType?: string
  responseTopic?: string
  correlationData?: string
  userProperty?: [string, string][]
  messageExpiry?: number
  payloadFormat?: 'utf8' | 'bytes'
}

const MAX_MESSAGE_BYTES = 1024 * 1024
const MAX_EXPIRY_S = 4_294_967_295

/** Adds the options that {@link readMessage} reads. */
export function addMessageOptions(command: Command): Command {
  return command
    .option('-m, --message <text>')
    .option('--stdin', 'the message is standard input, byte for byte, at most 1 MiB')
    .addOption(
      new Option('--encoding <encoding>', 'how -m is written').choices(['utf8', 'base64', 'json']).default('utf8'),
    )
}

/** Reads the message, from the options or from standard input. */
export async function readMessage(
  io: Io,
  { message, stdin, encoding }: MessageOptions,
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

function addUserProperty(text: string, before: [string, string][] = []): [string, string][] {
  const at = text.indexOf('=')
  if (at < 0) throw new MisuseError(`--user-property ${JSON.stringify(text)} is not <name>=<value>.`)
  return [...before, [text.slice(0, at), text.slice(at + 1)]]
}

/** Adds the options that {@link propertiesOf} reads. */
export function addPropertyOptions(command: Command): Command {
  return command
    .option('--content-type <type>', 'MQTT 5: what the message is, such as application/json')
    .option('--response-topic <topic>', 'MQTT 5: where an answer should go; you must be allowed to subscribe to it')
    .option('--correlation-data <base64>', 'MQTT 5: bytes that an answer repeats')
    .option('--user-property <name=value>', 'MQTT 5: repeat it for more, also of one name', addUserProperty)
    .option(
      '--message-expiry <s>',
      'MQTT 5: seconds after which the broker drops the message instead of delivering it',
      wholeNumber(0, MAX_EXPIRY_S),
    )
    .addOption(
      new Option('--payload-format <format>', 'MQTT 5: utf8 says that the message is text').choices(['utf8', 'bytes']),
    )
}

function groupedByName(pairs: readonly [string, string][]): Record<string, string | string[]> {
  const values = Map.groupBy(pairs, ([name]) => name)
  const members = [...values].map(([name, group]): [string, string | string[]] => {
    const [first, ...others] = group.map(([, value]) => value)
    return [name, others.length === 0 && first !== undefined ? first : [first ?? '', ...others]]
  })
  return Object.fromEntries(members)
}

/** The properties that the options name; `undefined` where they name none, so that MQTT 3.1.1 is no matter. */
export function propertiesOf(options: PropertyOptions): MessageProperties | undefined {
  const { contentType, responseTopic, correlationData, userProperty, messageExpiry, payloadFormat } = options
  const properties: MessageProperties = {
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(userProperty !== undefined && { userProperties: groupedByName(userProperty) }),
    ...(messageExpiry !== undefined && { messageExpiry }),
    ...(payloadFormat !== undefined && { payloadFormat }),
  }
  return Object.keys(properties).length === 0 ? undefined : properties
}
