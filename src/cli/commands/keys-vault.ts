import type { Command } from 'commander'
import type { TenantKey } from '../../sdk/index.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

const HELP = `
An API key with the role owner rotates the vault key of its tenant; the server moves what the old key guards, record by
record, while it goes on opening, and destroys the old private half a minute after the last one has moved.

Examples:
  $ sealwire keys vault rotate
  $ sealwire keys vault status`

function lineOf({ id, state, records, recordsInCustody, createdAt }: TenantKey): string {
  const held = recordsInCustody ? [`in split custody: ${recordsInCustody}`] : []
  return printable([id, state.padEnd(9), createdAt, `records: ${records ?? 0}`, ...held].join('  '))
}

function moveLine({ move }: TenantKey): string | undefined {
  if (!move) return undefined
  const { state, left, inCustody, unusable, problem, nextRunAt } = move
  if (state === 'done') return `The move is done${left > 0 ? `; ${left} records came to an old key since` : ''}.`
  const parts = [`The move is ${state}: ${left} records left`, `${inCustody} of them move when their holder opens them`]
  if (unusable > 0) parts.push(`${unusable} do not open`)
  if (problem !== null) parts.push(`it was stopped by ${problem}`)
  if (state === 'waiting' && nextRunAt !== null) parts.push(`next look at ${nextRunAt}`)
  return printable(`${parts.join(', ')}.`)
}

/** `sealwire keys vault …`: the vault key of the tenant, for its owner. */
export function addKeysVault(keys: Command, io: Io): void {
  const vault = keys.command('vault').description('the vault key of a tenant, for its owner').addHelpText('after', HELP)
  addServerOptions(vault.command('status'))
    .description('show vault keys, the records under each, and how far the move is')
    .option('--json', 'print JSON')
    .action(async ({ json, ...server }: ServerOptions & { json?: true }) => {
      const found = (await connect(io, server).keys.list()).filter(({ purpose }) => purpose === 'vault')
      if (json) return io.out(JSON.stringify(found))
      for (const key of found) io.out(lineOf(key))
      for (const line of found.map(moveLine)) if (line !== undefined) io.err(line)
    })
  addServerOptions(vault.command('rotate'))
    .description('make a new vault key and move every record to it')
    .action(async (server: ServerOptions) => {
      const { id, retiredId } = await connect(io, server).keys.rotate('vault')
      io.out(id)
      if (retiredId !== null) io.err(`${id} is active. What ${retiredId} guards moves in the background.`)
      io.err('hint: sealwire keys vault status')
    })
}
