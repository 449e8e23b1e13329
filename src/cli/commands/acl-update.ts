import { type Command, InvalidArgumentError } from 'commander'
import type { Policy } from '../../sdk/index.ts'
import { wholeNumber } from '../arguments.ts'
import { addServerOptions, connect, type ServerOptions } from '../connect.ts'
import { counted } from '../counted.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import { readPassingPolicy } from '../passing-policy.ts'

interface Options extends ServerOptions {
  ifRevision?: number
  ifMatch?: number
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl get pol_… > policy.json                        and change it, then
  $ sealwire acl update pol_… policy.json
  $ sealwire acl update pol_… policy.json --if-revision 4       for a file that does not say its revision

Nothing is replaced that you have not seen: the file says the revision that it was made from, or an option does. When there
is a newer one, the command fails and changes nothing. A policy that is not valid, or that fails a test of its own, is not
sent.`

function etag(text: string): number {
  const digits = /^"?([1-9]\d{0,8})"?$/.exec(text)?.[1]
  if (digits === undefined) throw new InvalidArgumentError('It is not the ETag of a policy, such as "12".')
  return Number(digits)
}

/** The revision that the caller has seen; `undefined` where an ETag says more. */
function seenRevision(
  document: Readonly<Record<string, unknown>>,
  { ifRevision, ifMatch }: Options,
  current: Policy,
): number | undefined {
  if (ifMatch !== undefined) return undefined
  const stated = Object.hasOwn(document, 'revision') ? (document['revision'] as number) : undefined
  if (ifRevision !== undefined && stated !== undefined && ifRevision !== stated)
    throw new MisuseError(`--if-revision says ${ifRevision}, the file says it was made from revision ${stated}.`)
  const seen = ifRevision ?? stated
  if (seen !== undefined) return seen
  const hint = `the latest is ${current.latestRevision}: look at it with acl get, then pass --if-revision ${current.latestRevision}`
  throw new MisuseError('Which revision does this replace? The file does not say.', hint)
}

/** `sealwire acl update ID FILE` stores the next revision of a policy, which decides from then on. */
export function addAclUpdate(acl: Command, io: Io): void {
  addServerOptions(acl.command('update <policy> <file>'))
    .description('store the next revision of a policy, which decides from then on')
    .option('--if-revision <number>', 'the revision that this replaces', wholeNumber(1, 999_999_999))
    .option('--if-match <etag>', 'the ETag of the policy that this changes', etag)
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, file: string, options: Options) => {
      if (options.ifRevision !== undefined && options.ifMatch !== undefined)
        throw new MisuseError('Give --if-revision or --if-match, not both.')
      const document = await readPassingPolicy(io, file)
      const { policies } = connect(io, options)
      const call = { signal: io.signal }
      const current = await policies.get(id, call)
      const seen = seenRevision(document, options, current)
      if (seen !== undefined && seen !== current.latestRevision && seen !== current.activeRevision) {
        const message = `${id} is at revision ${current.latestRevision}, not ${seen}: nothing was changed`
        throw new Error(`${message}; compare it with: sealwire acl get ${id} | sealwire acl diff - ${file}`)
      }
      const version = options.ifMatch ?? current.version
      const updated = await policies.update({ id, version }, { document }, call)
      io.out(options.json ? JSON.stringify(updated) : printable(`${updated.id} revision ${updated.activeRevision}`))
      io.err(printable(`it decides from now on, with ${counted(updated.rules, 'rule')}`))
    })
}
