import { readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Command } from 'commander'
import { compilePolicy } from '../../policy/compile-policy.ts'
import {
  type ChangeGroup,
  type DecisionChange,
  diffPolicies,
  type NamedIdentity,
  type PolicyDiff,
} from '../../policy/diff.ts'
import { quote } from '../../policy/problems.ts'
import { readIdentity } from '../access-input.ts'
import { counted } from '../counted.ts'
import { decisionText } from '../decision-text.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import { FileProblemsError, locateProblems, readJsonFile, readPolicyFile, refuseTwoStdins } from '../policy-file.ts'

interface Options {
  identities?: string
  delivery: boolean
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl diff policy.json changed.json
  $ sealwire acl get pol_… | sealwire acl diff - policy.json --identities identities/

Asks both policies and tells where they decide differently: looser, stricter, or the same for another reason. What is asked
is made from the rules of both, as are identities; --identities names a folder of files with identities of your own, one a
file, which are asked about first. Rules that differ in text alone are not told. Finding nothing is a good sign, no proof.`

const MAX_IDENTITIES = 1_000

async function readIdentities(io: Io, folder: string): Promise<readonly NamedIdentity[]> {
  const entries = await readdir(folder).catch((err: NodeJS.ErrnoException) => {
    throw new MisuseError(`${folder}: ${err.code === 'ENOENT' ? 'no such folder' : (err.code ?? 'cannot be read')}.`)
  })
  const files = entries.filter((name) => name.endsWith('.json')).sort()
  if (files.length === 0)
    throw new MisuseError(`${folder}: has no .json file.`, 'each holds one identity, such as {"clientId": "d1"}')
  if (files.length > MAX_IDENTITIES) throw new MisuseError(`${folder}: has more than ${MAX_IDENTITIES} identities.`)
  const identities: NamedIdentity[] = []
  for (const name of files) {
    const file = path.join(folder, name)
    const { text, json } = await readJsonFile(io, file)
    const read = readIdentity(json)
    if (read.problem) throw new FileProblemsError(file, locateProblems(text, [read.problem]))
    identities.push({ name: name.slice(0, -'.json'.length), identity: read.value })
  }
  return identities
}

function changeLine({ who, request, before, after }: DecisionChange): string {
  const { action, topic, qos, retain } = request
  const packet = [
    action,
    ...(topic === '' ? [] : [quote(topic)]),
    ...(qos === undefined ? [] : [`qos ${qos}`]),
    ...(retain ? ['retained'] : []),
  ]
  return `  ${who}: ${packet.join(' ')}\n    ${decisionText(before)}  ->  ${decisionText(after)}`
}

function tellGroup(io: Io, name: string, { total, changes }: ChangeGroup): void {
  if (total === 0) return
  io.out(`${name}: ${total}`)
  for (const change of changes) io.out(printable(changeLine(change)))
  if (total > changes.length) io.out(`  and ${total - changes.length} more like these`)
}

function tell(io: Io, { looser, stricter, changed, compared, identities, isComplete }: PolicyDiff): void {
  tellGroup(io, 'looser', looser)
  tellGroup(io, 'stricter', stricter)
  tellGroup(io, 'as before, but for another reason', changed)
  if (looser.total + stricter.total + changed.total === 0) io.out('no decision differs')
  io.err(`compared: ${counted(compared, 'request')}; identities: ${identities}`)
  if (!isComplete)
    io.err('note: there was more to ask than is asked at most; compare smaller changes to see all of them')
}

/** `sealwire acl diff OLD NEW` tells which decisions differ between two policies. */
export function addAclDiff(acl: Command, io: Io): void {
  acl
    .command('diff <old> <new>')
    .description('tell which decisions differ between two policies')
    .option('--identities <folder>', 'ask about the identities in these files first')
    .option('--no-delivery', 'the policies decide where no delivery is checked')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (oldFile: string, newFile: string, { identities: folder, delivery, json }: Options) => {
      refuseTwoStdins(oldFile, newFile)
      const before = compilePolicy((await readPolicyFile(io, oldFile)).policy)
      const after = compilePolicy((await readPolicyFile(io, newFile)).policy)
      const identities = folder === undefined ? [] : await readIdentities(io, folder)
      const diff = diffPolicies(before, after, { identities, delivery })
      if (json) io.out(JSON.stringify(diff))
      else tell(io, diff)
    })
}
