import { Command, CommanderError } from 'commander'
import { AppError } from '../core/errors.ts'
import { SealwireError } from '../sdk/index.ts'
import { addAcl } from './commands/acl.ts'
import { addApiKeysCreate } from './commands/api-keys-create.ts'
import { addApiKeysList } from './commands/api-keys-list.ts'
import { addApiKeysRevoke } from './commands/api-keys-revoke.ts'
import { addClients } from './commands/clients.ts'
import { addEnvelopeOpen } from './commands/envelope-open.ts'
import { addHooksTry } from './commands/hooks-try.ts'
import { addInit } from './commands/init.ts'
import { addIntegrationsLock } from './commands/integrations-lock.ts'
import { addIntegrationsUnlock } from './commands/integrations-unlock.ts'
import { addKeys } from './commands/keys.ts'
import { addMessage } from './commands/message.ts'
import { addPublish } from './commands/publish.ts'
import { addRecipients } from './commands/recipients.ts'
import { addRequest } from './commands/request.ts'
import { addServe } from './commands/serve.ts'
import { addSubscribe } from './commands/subscribe.ts'
import { addTenantsCreate } from './commands/tenants-create.ts'
import { addTenantsList } from './commands/tenants-list.ts'
import { addTenantsSet } from './commands/tenants-set.ts'
import { addUsers } from './commands/users.ts'
import { exit, exitCodeOf } from './exit-codes.ts'
import { hintFor } from './hints.ts'
import { type Io, MisuseError, printable } from './io.ts'
import type { LoadOperator } from './operator.ts'
import { FileProblemsError } from './policy-file.ts'

const EXAMPLES = `
Start here:
  $ sealwire serve                                        the server, with a database of its own in ./.sealwire
  $ export SEALWIRE_API_KEY=$(cat .sealwire/owner-api-key)
  $ sealwire recipients enroll --out recipient.json       once: the key that opens your answers
  $ export SEALWIRE_RECIPIENT=recipient.json
  $ sealwire publish int_… -t sensors/temperature -m 22.5

Exit codes: 0 done, 1 refused or failed, 2 misuse, 3 nobody knows whether it was done, 4 try again later.`

const SUCCESSFUL_ENDS: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version'])

function createProgram(io: Io, loadOperator: LoadOperator, setExitCode: (code: number) => void): Command {
  const program = new Command('sealwire')
    .description('Publish to and subscribe from MQTT brokers without holding their credentials.')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text.trimEnd()), writeErr: (text) => io.err(text.trimEnd()) })
    .showHelpAfterError('hint: add --help')
  addServe(program, io, loadOperator, setExitCode)
  addInit(program, io, loadOperator)
  const tenants = program.command('tenants').description('tenants, for the operator at this host')
  addTenantsCreate(tenants, io, loadOperator)
  addTenantsList(tenants, io, loadOperator)
  addTenantsSet(tenants, io, loadOperator)
  addKeys(
    program.command('keys').description('keys of the deployment, for the operator at this host'),
    io,
    loadOperator,
    setExitCode,
  )
  const apiKeys = program.command('api-keys').description('API keys of the tenant')
  addApiKeysCreate(apiKeys, io)
  addApiKeysList(apiKeys, io)
  addApiKeysRevoke(apiKeys, io)
  addRecipients(program.command('recipients').description('who opens the answers to an API key'), io)
  const integrations = program.command('integrations').description('integrations whose credential is in split custody')
  addIntegrationsUnlock(integrations, io)
  addIntegrationsLock(integrations, io)
  addPublish(program, io, setExitCode)
  addSubscribe(program, io)
  addMessage(program, io, setExitCode)
  addRequest(program, io, setExitCode)
  addAcl(program.command('acl').description('policies: who may publish and subscribe to what'), io, setExitCode)
  addUsers(program.command('users').description('the file of users whom MQTT clients may be'), io, loadOperator)
  addClients(program.command('clients').description('clients of brokers: who is blocked, and who was not let in'), io)
  addHooksTry(program.command('hooks').description('what brokers that ask this server are told'), io, loadOperator)
  addEnvelopeOpen(program.command('envelope').description('answers that were kept'), io)
  return program
}

/** Says on `err` what went wrong and what usually helps, and chooses the exit code. */
function explain(io: Io, thrown: unknown): number {
  const say = (text: string) => io.err(printable(text))
  if (thrown instanceof CommanderError) return SUCCESSFUL_ENDS.has(thrown.code) ? exit.ok : exit.misuse
  if (thrown instanceof MisuseError) {
    say(`error: ${thrown.message}`)
    if (thrown.hint !== undefined) say(`hint: ${thrown.hint}`)
    return exit.misuse
  }
  if (thrown instanceof FileProblemsError) {
    for (const line of thrown.lines) say(line)
    return exit.failed
  }
  if (thrown instanceof AppError) {
    say(`error: ${thrown.code}: ${thrown.message}`)
    if (thrown.code === 'outcome.unknown') say('hint: look before you do it again, for example: sealwire keys list')
    return exitCodeOf(thrown)
  }
  if (!(thrown instanceof SealwireError)) {
    say(`error: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    return exit.failed
  }
  say(`error: ${thrown.code}: ${thrown.message}`)
  if (thrown.details && Object.keys(thrown.details).length > 0) say(`details: ${JSON.stringify(thrown.details)}`)
  if (thrown.requestId !== undefined) say(`request: ${thrown.requestId}`)
  const hint = hintFor(thrown)
  if (hint !== undefined) say(`hint: ${hint}`)
  return exitCodeOf(thrown)
}

/**
 * Runs one command line, without the name of the program.
 *
 * @returns the exit code: 0 done, 1 refused or failed, 2 misuse, 3 outcome unknown, 4 try again later
 */
export async function run(args: readonly string[], io: Io, loadOperator: LoadOperator): Promise<number> {
  let exitCode: number = exit.ok
  const program = createProgram(io, loadOperator, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (err) {
    return explain(io, err)
  }
}
