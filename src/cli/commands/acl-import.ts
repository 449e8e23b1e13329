import { open } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { importDialects, importPolicy } from '../../policy/importers/import-policy.ts'
import type { ImportNote, ImportOptions } from '../../policy/importers/import-result.ts'
import { locateAll } from '../../policy/locate.ts'
import type { PolicyProblem } from '../../policy/problems.ts'
import { counted } from '../counted.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import { findJsonFault } from '../json-fault.ts'
import { FileProblemsError, type LocatedProblem, MAX_FILE_BYTES, parseJsonText, problemLine } from '../policy-file.ts'
import { readTextFile } from '../text-file.ts'

interface Options extends ImportOptions {
  from: string
  out?: string
}

const EXAMPLES = `
Examples:
  $ sealwire acl import --from sentinel gateway.json --out policy.json
  $ sealwire acl import --from mosquitto acl.conf | sealwire acl validate -
  $ sealwire acl import --from cloudsignal acl.json --ordered --strip-leading-slash --out policy.json

The policy goes to --out, or to standard output; what means something else in it than in the source goes to standard error,
with its place in the source: stricter, ambiguous, dropped or changed. Exit code 1 when something cannot be translated:
nothing is written then.`

/** Finds places in a source that is JSON; those of other sources name their lines themselves. */
function locateInSource<P extends PolicyProblem>(text: string, problems: readonly P[]): (P & LocatedProblem)[] {
  const isJson = /^\s*[[{]/.test(text) && !parseJsonText(text).problem
  const positions = isJson
    ? locateAll(
        text,
        problems.map(({ path }) => path),
      )
    : []
  return problems.map((problem, i) => ({ ...problem, position: positions[i] ?? null }))
}

function refuse(file: string, text: string, problems: readonly PolicyProblem[]): never {
  const isBrokenJson = /^\s*[[{]/.test(text) && findJsonFault(text) !== undefined
  const fault = isBrokenJson ? parseJsonText(text).problem : undefined
  throw new FileProblemsError(file, fault ? [fault] : locateInSource(text, problems))
}

async function write(file: string, text: string): Promise<void> {
  await using handle = await open(file, 'wx').catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'EEXIST') throw new MisuseError(`${file} exists and is not overwritten.`, 'choose another --out')
    throw new MisuseError(`${file}: ${err.code ?? 'cannot be written'}.`)
  })
  await handle.writeFile(text)
}

function tellNotes(io: Io, file: string, text: string, notes: readonly ImportNote[]): void {
  for (const note of locateInSource(text, notes))
    io.err(printable(problemLine('warning', file, note).replace(/^warning/, note.kind)))
}

/** `sealwire acl import --from DIALECT FILE` translates a policy of another product. */
export function addAclImport(acl: Command, io: Io): void {
  acl
    .command('import <file>')
    .description('translate a policy of another product, and tell where it means something else')
    .addOption(new Option('--from <dialect>', 'what the file is').choices(importDialects).makeOptionMandatory())
    .option('--out <file>', 'where the policy is written; never overwritten')
    .option('--id <id>', 'id of the policy; default the dialect')
    .option('--ordered', 'CloudSignal: the first rule that matches decides')
    .option('--strip-leading-slash', 'CloudSignal: take the slash off the front of topics')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, { from, out, ...options }: Options) => {
      const text = await readTextFile(io, file, MAX_FILE_BYTES)
      const imported = importPolicy(from, text, options)
      if (imported.document === undefined) return refuse(file, text, imported.problems)
      const { document, notes } = imported
      const json = JSON.stringify(document, null, 2)
      if (out === undefined) io.out(json)
      else await write(out, `${json}\n`)
      tellNotes(io, file, text, notes)
      io.err(
        `${counted(document.rules.length, 'rule')}; ${counted(notes.length, 'note')} on what means something else here`,
      )
      if (out !== undefined) io.err(printable(`hint: sealwire acl validate ${out}`))
    })
}
