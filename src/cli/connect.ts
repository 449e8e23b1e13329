import type { Command } from 'commander'
import { type Recipient, Sealwire } from '../sdk/index.ts'
import { type Io, MisuseError } from './io.ts'
import { readRecipientFile } from './recipient-store.ts'

/** Where `sealwire serve` listens unless told otherwise. */
const DEFAULT_URL = 'http://127.0.0.1:8080'

export interface ServerOptions {
  baseUrl?: string
  apiKey?: string
}

export interface RecipientOption {
  recipient?: string
}

/** Adds the options of every command that speaks to a server. */
export function addServerOptions(command: Command): Command {
  return command
    .option('--base-url <url>', `the server; default SEALWIRE_URL, else ${DEFAULT_URL}`)
    .option('--api-key <key>', 'default SEALWIRE_API_KEY, which other users of this machine cannot see')
}

/** Adds the option of commands that open answers. */
export function addRecipientOption(command: Command): Command {
  return command.option('--recipient <file>', 'from `recipients enroll`; default SEALWIRE_RECIPIENT')
}

function present(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

function findApiKey({ env, err }: Io, { apiKey }: ServerOptions): string {
  if (apiKey !== undefined) {
    err('note: --api-key can be seen in the list of processes; SEALWIRE_API_KEY cannot')
    return apiKey
  }
  const key = present(env['SEALWIRE_API_KEY'])
  if (key !== undefined) return key
  throw new MisuseError('No API key.', 'export SEALWIRE_API_KEY=…; the first owner key is in the file owner-api-key')
}

/** The server that options or environment name. */
export function namedServer({ env }: Io, { baseUrl }: Pick<ServerOptions, 'baseUrl'>): string | undefined {
  return baseUrl ?? present(env['SEALWIRE_URL'])
}

/** Connects for commands whose answers need no recipient. */
export function connect(io: Io, options: ServerOptions): Sealwire {
  const baseUrl = namedServer(io, options) ?? DEFAULT_URL
  return new Sealwire({ baseUrl, apiKey: findApiKey(io, options) })
}

/**
 * Reads the recipient that a command opens answers with.
 *
 * @throws {MisuseError} when none is named
 */
export async function findRecipient(io: Io, options: RecipientOption): Promise<Recipient> {
  return readRecipientFile(recipientFile(io, options))
}

/** The recipient file that options or environment name; throws as {@link findRecipient}. */
export function recipientFile({ env }: Io, { recipient }: RecipientOption): string {
  const file = recipient ?? present(env['SEALWIRE_RECIPIENT'])
  if (file !== undefined) return file
  const hint = 'pass --recipient FILE or set SEALWIRE_RECIPIENT; make one with: sealwire recipients enroll --out FILE'
  throw new MisuseError('No recipient: answers are sealed, and something has to open them.', hint)
}

/** Connects for commands whose answers are sealed. The recipient file names the server unless options or environment do. */
export async function connectSealed(io: Io, options: ServerOptions & RecipientOption): Promise<Sealwire> {
  const recipient = await findRecipient(io, options)
  const baseUrl = namedServer(io, options) ?? recipient.baseUrl
  return new Sealwire({ baseUrl, apiKey: findApiKey(io, options), recipient })
}
