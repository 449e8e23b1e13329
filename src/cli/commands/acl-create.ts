import type { Command } from 'commander'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { counted } from '../counted.ts'
import { type Io, printable } from '../io.ts'
import { readPassingPolicy } from '../passing-policy.ts'

interface Options extends ServerOptions {
  name?: string
  json?: true
}

const EXAMPLE = `
Example:
  $ POLICY=$(sealwire acl create policy.json --name 'plant 4')

A policy that is not valid, or that fails a test of its own, is not sent.`

/** `sealwire acl create FILE` stores a policy that decides at once, and prints its id. */
export function addAclCreate(acl: Command, io: Io): void {
  addServerOptions(acl.command('create <file>'))
    .description('store a policy, and print its id')
    .option('--name <name>', 'for people, in lists; default the id in the document')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLE)
    .action(async (file: string, { name, json, ...server }: Options) => {
      const document = await readPassingPolicy(io, file)
      const input = { document, ...(name !== undefined && { name }) }
      const policy = await connect(io, server).policies.create(input, { signal: io.signal })
      io.out(json ? JSON.stringify(policy) : policy.id)
      io.err(printable(`${policy.id} is stored: revision ${policy.activeRevision}, ${counted(policy.rules, 'rule')}`))
    })
}
