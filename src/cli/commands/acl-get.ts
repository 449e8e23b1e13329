import type { Command } from 'commander'
import { wholeNumber } from '../arguments.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { type Io, printable } from '../io.ts'

interface Options extends ServerOptions {
  revision?: number
  compact?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl get pol_01kat4hvr07rf9mm9f7nrvz4gg > policy.json
  $ sealwire acl get pol_01kat4hvr07rf9mm9f7nrvz4gg --revision 3 | sealwire acl diff - policy.json

The document says which revision it is, by which update knows whether there is a newer one.`

/** `sealwire acl get ID` prints a policy of the server. */
export function addAclGet(acl: Command, io: Io): void {
  addServerOptions(acl.command('get <policy>'))
    .description('print a policy of the server: the revision that decides, or another')
    .option('--revision <number>', 'default the one that decides', wholeNumber(1, 999_999_999))
    .option('--compact', 'print it in one line')
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, { revision, compact, ...server }: Options) => {
      const { policies } = connect(io, server)
      const call = { signal: io.signal }
      const { document } =
        revision === undefined ? await policies.get(id, call) : await policies.revision(id, revision, call)
      io.out(compact ? JSON.stringify(document) : JSON.stringify(document, null, 2))
      io.err(printable(`${id} revision ${JSON.stringify(document['revision'])}`))
    })
}
