import { type Command, Option } from 'commander'
import { type AccessAction, accessActions } from '../../policy/access.ts'
import { compilePolicy } from '../../policy/compile-policy.ts'
import type { Qos } from '../../policy/document.ts'
import type { Identity } from '../../policy/identity.ts'
import { simulate } from '../../policy/simulate.ts'
import { readIdentity } from '../access-input.ts'
import { qosOption } from '../arguments.ts'
import { decisionText, traceText } from '../decision-text.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import {
  FileProblemsError,
  locateProblems,
  parseJsonText,
  readJsonFile,
  readPolicyFile,
  refuseTwoStdins,
} from '../policy-file.ts'
import { simulateLines } from '../simulate-lines.ts'

interface Options {
  policy?: string
  requests?: string
  as?: string
  do?: AccessAction
  topic?: string
  qos?: Qos
  retain?: true
  delivery: boolean
  trace?: true
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl simulate policy.json --as '{"clientId": "d1", "groups": ["fleet-a"]}' --do subscribe --topic 'sensors/#'
  $ sealwire acl simulate policy.json --as id.json --do publish --topic sensors/d1/t --qos 2 --retain --trace
  $ sealwire acl simulate --policy policy.json --requests requests.jsonl > decisions.jsonl

With --requests each line is {"identity": {…}, "request": {"action", "topic", "qos"?, "retain"?}}, and each line of the
answer {"decision", "reason", "rule", "qos", "retain"}, in the same order, as they come; - is standard input.
An identity has the members clientId, username, type, ip, protocol, listener, tls, auth, org, sub, groups, roles, scopes,
claims and cert. Exit code 0 whatever is decided: a deny is an answer. To hold a policy to what it should decide: acl test.`

/** The identity in an argument that is JSON, or the name of a file of it. */
async function identityOf(io: Io, given: string): Promise<Identity> {
  const isInline = given.trimStart().startsWith('{')
  const name = isInline ? '--as' : given
  const { text, json } = isInline ? parseInline(name, given) : await readJsonFile(io, given)
  const read = readIdentity(json)
  if (read.problem) throw new FileProblemsError(name, locateProblems(text, [read.problem]))
  return read.value
}

function parseInline(name: string, text: string): { text: string; json: unknown } {
  const { json, problem } = parseJsonText(text)
  if (problem) throw new FileProblemsError(name, [problem])
  return { text, json }
}

async function simulateOne(io: Io, file: string, options: Options): Promise<void> {
  const { as, do: action, topic = '', qos = 0, retain = false, delivery, trace, json } = options
  if (as === undefined) throw new MisuseError('Who asks?', 'pass --as ID.json, or --as \'{"clientId": "d1"}\'')
  if (action === undefined) throw new MisuseError('What is asked?', `pass --do with one of ${accessActions.join(', ')}`)
  if (options.topic === undefined && action !== 'connect') throw new MisuseError('Which topic?', 'pass --topic TOPIC')
  refuseTwoStdins(file, as)
  const { policy } = await readPolicyFile(io, file)
  const [answer] = simulate(compilePolicy(policy), await identityOf(io, as), [{ action, topic, qos, retain }], delivery)
  if (!answer) throw new TypeError('a request without a decision')
  const { trace: steps, ...decision } = answer
  if (json) return io.out(JSON.stringify(trace ? answer : decision))
  io.out(printable(decisionText(decision)))
  const told = trace ? steps : steps.filter(({ applies }) => applies)
  for (const step of told) io.out(printable(traceText(step)))
  if (!trace && decision.decision === 'deny' && told.length === 0)
    io.err('hint: no rule is about this request; --trace says of each why it was passed over')
}

function refuseMixture({ as, do: action, topic, qos, retain, trace, json }: Options): void {
  const given = Object.entries({ as, do: action, topic, qos, retain, trace, json }).find(
    ([, value]) => value !== undefined,
  )
  if (given)
    throw new MisuseError(`--requests and --${given[0]} do not go together: each line says all there is to ask.`)
}

/** `sealwire acl simulate` decides one request and says why, or a file of them line by line. */
export function addAclSimulate(acl: Command, io: Io): void {
  acl
    .command('simulate [file]')
    .description('decide requests as the server would, and say why')
    .option('--policy <file>', 'the policy, in place of the argument')
    .option('--requests <file>', 'decide the requests of a file, one a line; - is standard input')
    .option('--as <identity>', 'who asks: a file of JSON, or JSON')
    .addOption(new Option('--do <action>', 'what is asked').choices(accessActions))
    .option('--topic <topic>', 'a topic; for subscribe and unsubscribe a filter, with its share prefix')
    .option('--qos <qos>', '0, 1 or 2; default 0', qosOption)
    .option('--retain', 'publish as a retained message')
    .option('--no-delivery', 'the policy decides where no delivery is checked')
    .option('--trace', 'say of every rule what became of it')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (argument: string | undefined, options: Options) => {
      const { policy: named, requests } = options
      if (argument !== undefined && named !== undefined) throw new MisuseError('Name the policy once.')
      const file = argument ?? named
      if (file === undefined) throw new MisuseError('Which policy?', 'pass its file, or --policy FILE')
      if (requests === undefined) return simulateOne(io, file, options)
      refuseMixture(options)
      refuseTwoStdins(file, requests)
      const { policy } = await readPolicyFile(io, file)
      await simulateLines(io, compilePolicy(policy), requests, options.delivery)
    })
}
