import { type Command, Option } from 'commander'
import type { HookTrial, TrialResult } from '../../app.ts'
import type { Qos } from '../../policy/document.ts'
import { qosOption } from '../arguments.ts'
import { decisionText, traceText } from '../decision-text.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import { type LoadOperator, operatorConfig, operatorLog } from '../operator.ts'
import { readTextFile } from '../text-file.ts'

type Action = 'publish' | 'subscribe' | 'receive'

interface Options {
  hook?: string
  dialect?: NonNullable<HookTrial['dialect']>
  username?: string
  clientId?: string
  passwordFile?: string
  tokenFile?: string
  certificateFile?: string
  ip: string
  topic?: string
  do?: Action
  qos?: Qos
  retain?: true
  superuser?: true
  trace?: true
  json?: true
}

const dialects = ['go-auth', 'emqx', 'rabbitmq', 'tbmq', 'vernemq'] as const satisfies readonly HookTrial['dialect'][]
const MAX_SECRET_BYTES = 65_536

const EXAMPLES = `
Examples:
  $ export BROKER_AUTH_CONFIG=hooks.json
  $ sealwire hooks try --dialect go-auth --username pump-1 --client-id pump-1 --password-file pw --topic plant/4/state
  $ sealwire hooks try --hook emqx --username pump-1 --client-id pump-1 --topic 'plant/#' --do subscribe --trace
  $ sealwire hooks try --dialect go-auth --token-file token --client-id ui-7 --topic plant/4/set --do publish

It asks what the broker would ask, in its words, of the configuration, database and files that the server uses, and prints each
request (>), the answer (<), and why. With --password-file, --token-file or --certificate-file the client connects first. Without
them it is asked about as it may be connected already: a broker remembers who logged in, and so does the server.

Nothing is changed: no session, no audit row, no entry among unauthorised clients; a service of type http is asked all the same.
Not tried is whether a request has the hook's secret, certificate or address. Secrets are printed as PASSWORD, TOKEN and
SECRET. Without --do both publish and subscribe are asked. Exit code 0 whatever is answered: a refusal is an answer.`

/** The text of a secret, without one line break at its end. */
async function readSecret(io: Io, file: string, what: string): Promise<string> {
  const text = (await readTextFile(io, file, MAX_SECRET_BYTES)).replace(/\r?\n$/, '')
  if (text === '') throw new MisuseError(`The ${what} is empty.`)
  return text
}

/** The first certificate of PEM, in base64 of DER. */
async function readCertificate(io: Io, file: string): Promise<string> {
  const text = await readTextFile(io, file, MAX_SECRET_BYTES)
  const [, base64] = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(text) ?? []
  if (base64 === undefined) throw new MisuseError(`${file}: holds no certificate in PEM.`)
  return base64.replace(/\s/g, '')
}

function wantsOf({ topic, do: action, qos, retain }: Options): HookTrial['wants'] {
  if (topic === undefined) {
    if (action !== undefined) throw new MisuseError('Which topic?', 'pass --topic TOPIC')
    return []
  }
  const isFilter = /[+#]|^\$share\//.test(topic)
  const both: readonly Action[] = isFilter ? ['subscribe'] : ['publish', 'subscribe']
  return (action === undefined ? both : [action]).map((one) => ({
    action: one,
    topic,
    ...(qos === undefined ? {} : { qos }),
    ...(retain && one === 'publish' ? { retain } : {}),
  }))
}

async function trialOf(io: Io, options: Options): Promise<HookTrial> {
  const { hook, dialect, username = '', clientId = '', ip, superuser = false } = options
  const { passwordFile, tokenFile, certificateFile } = options
  if (passwordFile !== undefined && tokenFile !== undefined)
    throw new MisuseError('Give --password-file or --token-file, not both.')
  if (tokenFile !== undefined && username !== '')
    throw new MisuseError('With --token-file the token is the user name: leave --username out.')
  const wants = wantsOf(options)
  const login = [passwordFile, tokenFile, certificateFile].some((one) => one !== undefined)
  if (!login && !superuser && wants.length === 0)
    throw new MisuseError(
      'What is asked?',
      'pass --password-file, --token-file or --certificate-file to log in, --topic or --superuser',
    )
  if (!login && username === '' && clientId === '')
    throw new MisuseError('Who is asked about?', 'pass --username NAME and --client-id ID')
  const password = passwordFile === undefined ? '' : await readSecret(io, passwordFile, 'password')
  const token = tokenFile === undefined ? undefined : await readSecret(io, tokenFile, 'token')
  const certificate = certificateFile === undefined ? undefined : await readCertificate(io, certificateFile)
  return { hook, dialect, client: { username, clientId, password, token, certificate, ip }, login, superuser, wants }
}

function linesOf(text: string, sign: string): string {
  return text
    .split('\r\n')
    .map((line) => `${sign} ${printable(line)}`.trimEnd())
    .join('\n')
}

function identityLine({ identity, provider, expiresAt }: TrialResult): string {
  const { username, clientId, type, auth, groups = [], scopes = [] } = identity ?? {}
  const members = { type, auth, provider, client_id: clientId, groups: groups.join(','), scopes: scopes.join(',') }
  const told = Object.entries(members).flatMap(([name, value]) => (value ? [`${name}=${value}`] : []))
  const until = expiresAt === undefined ? [] : [`until=${new Date(expiresAt).toISOString()}`]
  return ['who:', username ?? '(no user name)', ...told, ...until].join('  ')
}

type Question = TrialResult['questions'][number]

/** What an answer came to; for topics with the decision that the broker got, for a refused login with what providers found. */
function outcomeLines({ outcome, verdicts = [], tried = [] }: Question): string {
  const why = verdicts.map(({ allowed, decision }) => {
    if (decision) return decisionText(decision)
    return allowed ? 'allow  a superuser' : 'deny  no capability in the permissions of the hook'
  })
  const found = tried.map(({ provider, reason }) => `\n  ${provider}: ${reason}`)
  return [`= ${outcome}`, ...why].join('  ') + found.join('')
}

/** What somebody who reads the answers may want to know, or do next. */
function advice(result: TrialResult, isTraced: boolean): string[] {
  const { questions, decisions, dialect, identity } = result
  const isTbmq = dialect === 'tbmq'
  const isRefused = questions.some(({ outcome }) => outcome.startsWith('refused:'))
  const isUnruled = decisions.some(({ decision }) => decision.reason === 'default')
  const isUnknown = !identity && questions.every(({ outcome }) => outcome === 'no-session')
  const all: readonly (readonly [boolean, string])[] = [
    [
      isAboutUnsaid(result),
      'note: the broker does not say QoS, retain flag or Will; it is refused what not every one of them allows',
    ],
    [
      isTbmq && decisions.length > 0,
      'note: TBMQ asks once, when a client connects, and matches topics against the rules of that answer itself',
    ],
    [isRefused, 'note: a broker asks nothing more about a client whose login is refused'],
    [isUnruled && !isTraced, 'hint: no rule is about it; --trace says of every rule why'],
    [isTbmq && questions.length === 0, 'hint: TBMQ asks only when a client connects; add --password-file'],
    [
      isUnknown && questions.length > 0,
      'hint: nobody with this user name and client id is logged in; add --password-file to log in first',
    ],
  ]
  return all.flatMap(([applies, text]) => (applies ? [text] : []))
}

/** A broker that does not say all of a message is given the answer that is safe whatever it left out. */
function isAboutUnsaid({ questions, decisions }: TrialResult): boolean {
  const isDenied = questions.some(({ verdicts = [] }) => verdicts.some(({ decision }) => decision?.decision === 'deny'))
  return isDenied && decisions.length > 0 && decisions.every(({ decision }) => decision.decision === 'allow')
}

function tell(io: Io, result: TrialResult, trace: boolean): void {
  const { questions, decisions, deadlineMs, identity } = result
  for (const question of questions) {
    const { request, answer, tookMs } = question
    io.out(linesOf(request, '>'))
    io.out(linesOf(answer, '<'))
    io.out(printable(`${outcomeLines(question)}\n`))
    if (tookMs > deadlineMs)
      io.err(`note: it took ${tookMs} ms here; the server refuses what it does not know within ${deadlineMs} ms`)
  }
  if (identity) io.out(printable(identityLine(result)))
  for (const { want, by, decision, trace: steps } of decisions) {
    io.out(printable(`${want.action} ${want.topic}  ${by}: ${decisionText(decision)}`))
    for (const step of trace ? steps : steps.filter(({ applies }) => applies)) io.out(printable(`  ${traceText(step)}`))
  }
  for (const line of advice(result, trace)) io.err(line)
}

/** `sealwire hooks try` shows what a broker would be told about one client, and why. */
export function addHooksTry(hooks: Command, io: Io, load: LoadOperator): void {
  hooks
    .command('try')
    .description('ask a hook what its broker would ask, and show the answers with the reasons')
    .option('--hook <name>', 'the hook; not needed where one hook has the dialect')
    .addOption(new Option('--dialect <name>', 'of which broker').choices(dialects))
    .option('--username <name>', 'as the client sends it')
    .option('--client-id <id>', 'as the client sends it')
    .option('--password-file <file>', 'the client connects with the password in it; - is standard input')
    .option('--token-file <file>', 'go-auth: it connects with the token in it as its user name; - is standard input')
    .option('--certificate-file <file>', 'VerneMQ: it shows the first certificate in it (PEM)')
    .option('--ip <address>', 'of the client, where the broker says it', '127.0.0.1')
    .option('--topic <topic>', 'a topic, or a filter with its share prefix')
    .addOption(new Option('--do <action>', 'what it does').choices(['publish', 'subscribe', 'receive']))
    .option('--qos <qos>', '0, 1 or 2, where the broker says it', qosOption)
    .option('--retain', 'a retained message, where the broker says it')
    .option('--superuser', 'go-auth: ask whether it is a superuser')
    .option('--trace', 'say of every rule what became of it')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const trial = await trialOf(io, options)
      const { tryHook } = await load()
      const result = await tryHook(operatorConfig(io), trial, { log: operatorLog(io), env: io.env })
      if (options.json) io.out(JSON.stringify(result))
      else tell(io, result, options.trace === true)
    })
}
