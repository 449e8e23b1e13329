import { type Command, Option } from 'commander'
import type { BlockedClient, BlockedType, UnauthorisedClient } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

type Options = ServerOptions & { json?: true }

interface BlockOptions extends Options {
  type?: BlockedType
  description?: string
  expiresAt?: string
}

interface FilterOptions extends Options {
  hook?: string
  clientId?: string
  reason?: string
  stillOut?: true
}

const TYPES = ['client_id', 'username', 'ip', 'client_id_regex', 'username_regex']

const EXAMPLES = `
Example:
  $ sealwire clients blocked add press-4 --description stolen
  $ sealwire clients blocked add 198.51.100.0/24 --type ip --expires-at 2027-01-31T00:00:00Z
  $ sealwire clients blocked list
  $ sealwire clients unauthorised list --reason wrong-password --still-out`

/** What a value looks like that is a client id only because nobody said otherwise. */
function likelyType(value: string): BlockedType | undefined {
  if (/^[0-9.]+\.[0-9]+(\/[0-9]+)?$|^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*(\/[0-9]+)?$/i.test(value)) return 'ip'
  return /[*?[\](){}|\\^$]/.test(value) ? 'client_id_regex' : undefined
}

function blockedLine({ id, type, value, isActive, expiresAt, description }: BlockedClient): string {
  const end = expiresAt === null ? 'for good' : `${isActive ? 'until' : 'ended'} ${expiresAt}`
  return printable([id, type.padEnd(15), value, end, description].join('  ').trimEnd())
}

function unauthorisedLine(one: UnauthorisedClient): string {
  const { id, lastAt, hook, clientId, username, ip, reason, count, letInAt } = one
  const who = clientId === null ? '(more clients)' : JSON.stringify(clientId)
  const as = username === null ? '' : `as ${JSON.stringify(username)}`
  const since = letInAt === null ? '' : `let in ${letInAt}`
  const parts = [id, lastAt, hook, reason, `${count}x`, who, as, ip ?? '', since]
  return printable(parts.filter((part) => part !== '').join('  '))
}

function addBlocked(blocked: Command, io: Io): void {
  addServerOptions(blocked.command('add <value>'))
    .description('block a client at every broker that asks the server, within five seconds')
    .addOption(new Option('--type <type>', 'what the value is; default client_id').choices(TYPES))
    .option('--description <text>', 'why')
    .option('--expires-at <time>', 'RFC 3339, for example 2027-01-31T00:00:00Z')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (value: string, options: BlockOptions) => {
      const { type = 'client_id', description, expiresAt } = options
      const input = { type, value, ...(description && { description }), ...(expiresAt && { expiresAt }) }
      const made = await connect(io, options).blockedClients.create(input, { signal: io.signal })
      io.out(options.json ? JSON.stringify(made) : printable(`${made.id} blocks ${made.type} ${made.value}`))
      const likely = options.type === undefined ? likelyType(value) : undefined
      if (likely) io.err(`note: this blocks a client whose id is that text; was --type ${likely} meant?`)
    })
  addServerOptions(blocked.command('list'))
    .description('list who is blocked')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const entries = await connect(io, options).blockedClients.list({ signal: io.signal })
      if (options.json) io.out(JSON.stringify(entries))
      else for (const entry of entries) io.out(blockedLine(entry))
    })
  addServerOptions(blocked.command('remove <id>'))
    .description('let a client in again, if its credentials are good')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire clients blocked remove blk_01kat4hvr07rf9mm9f7nrvz4gg')
    .action(async (id: string, options: Options) => {
      await connect(io, options).blockedClients.remove(id, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ id, deleted: true }) : printable(`removed ${id}`))
    })
}

function addUnauthorised(unauthorised: Command, io: Io): void {
  addServerOptions(unauthorised.command('list'))
    .description('list clients that were not let in lately, and why')
    .option('--hook <name>', 'of this hook only')
    .option('--client-id <id>', 'this client only')
    .option('--reason <reason>', 'for this reason only, for example wrong-password')
    .option('--still-out', 'only those that were not let in since')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: FilterOptions) => {
      const { hook, clientId, reason, stillOut } = options
      const named = { ...(hook && { hook }), ...(clientId && { clientId }), ...(reason && { reason }) }
      const filter = { ...named, ...(stillOut && { letIn: false }) }
      const clients = await connect(io, options).unauthorisedClients.list(filter, { signal: io.signal })
      if (options.json) io.out(JSON.stringify(clients))
      else for (const one of clients) io.out(unauthorisedLine(one))
    })
  addServerOptions(unauthorised.command('remove <id>'))
    .description('take a client off the list; its next failed attempt brings it back')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire clients unauthorised remove una_01kat4hvr07rf9mm9f7nrvz4gg')
    .action(async (id: string, options: Options) => {
      await connect(io, options).unauthorisedClients.remove(id, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ id, deleted: true }) : printable(`removed ${id}`))
    })
  addServerOptions(unauthorised.command('clear'))
    .description('empty the list')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ sealwire clients unauthorised clear')
    .action(async (options: Options) => {
      const { deleted } = await connect(io, options).unauthorisedClients.clear({ signal: io.signal })
      io.out(options.json ? JSON.stringify({ deleted }) : `removed ${deleted}`)
    })
}

/** `sealwire clients …`: who is blocked at brokers that ask the server, and who was not let in. */
export function addClients(clients: Command, io: Io): void {
  clients.addHelpText('after', EXAMPLES)
  addBlocked(clients.command('blocked').description('clients that may not come in, whatever they show'), io)
  addUnauthorised(clients.command('unauthorised').description('clients that were not let in lately'), io)
}
