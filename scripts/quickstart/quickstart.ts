// `npm run quickstart [-- --serve] [-- --broker mqtt://…]`: the main job, from an empty folder to an opened answer.
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type RunningServer, startServer } from '#src/app.ts'
import { type Config, parseConfig } from '#src/config/config.ts'
import { createLog } from '#src/observability/log.ts'
import type { Integration } from '#src/sdk/index.ts'
import { type Broker, givenBroker, privateRangesOf, startAedes, startBroker } from './broker.ts'
import { doMainJob } from './main-job.ts'
import { createScreen, type Screen, StepError } from './screen.ts'

const usage = `usage: npm run quickstart [-- --serve] [-- --broker mqtt://NAME:PASSWORD@HOST:PORT]

  --serve    keep server and broker running afterwards
  --broker   use this broker; "aedes" starts the one from npm even where Mosquitto is installed`

function readArguments() {
  try {
    const options = {
      serve: { type: 'boolean', default: false },
      broker: { type: 'string' },
      help: { type: 'boolean' },
    } as const
    const { broker, ...values } = parseArgs({ args: process.argv.slice(2), options }).values
    const given = broker === undefined || broker === 'aedes' ? undefined : givenBroker(broker)
    return { ...values, broker, given }
  } catch (err) {
    return { wrong: (err as Error).message }
  }
}

/**
 * The server as an operator would configure it for a broker on this machine, and for `ranges` besides. `--serve` has a port
 * that stays.
 */
function configure(serve: boolean, ranges: readonly string[]): Config {
  const onThisMachine = { OUTBOUND_ALLOW: '127.0.0.0/8,::1/128', LOG_LEVEL: 'error', PORT: serve ? '8080' : '0' }
  const wanted = { ...onThisMachine, ...process.env, ...(serve ? {} : { PORT: '0' }) }
  return parseConfig({ ...wanted, OUTBOUND_ALLOW: [wanted.OUTBOUND_ALLOW, ...ranges].join(',') })
}

function start(config: Config, ranges: readonly string[]): Promise<readonly [string, RunningServer]> {
  const log = createLog({ level: config.LOG_LEVEL, format: 'pretty' })
  return startServer(config, { log }).then((server) => {
    const database = config.DATABASE_URL === undefined ? 'its own PostgreSQL' : 'the PostgreSQL of DATABASE_URL'
    const kms = config.KMS_PROVIDER === 'local' ? 'a key file (not a KMS)' : 'AWS KMS'
    const allowed = ranges.length === 0 ? '' : `, OUTBOUND_ALLOW with ${ranges.join(' and ')} for the broker`
    return [`${server.url}, ${database}, ${kms}${allowed}`, server]
  })
}

async function chooseBroker(given: Broker | undefined, broker: string | undefined): Promise<Broker> {
  return given ?? (broker === 'aedes' ? startAedes() : startBroker())
}

function sayWhatNext(screen: Screen, { serve, dataDir }: { serve: boolean; dataDir: string }): void {
  screen.title('What to look at next')
  if (!serve) screen.command('npm run quickstart -- --serve      the same, and server and broker keep running')
  screen.command('npm test                           every test, on a real broker and a real PostgreSQL')
  screen.command('npx sealwire --help                the command line')
  screen.say(`\n  README.md explains the pieces. Everything of this run is in ${dataDir}; remove it to begin again.\n`)
}

function sayServing(screen: Screen, url: string, dataDir: string, integration: Integration): void {
  const body = { topic: 'quickstart/hello', message: '22.5', qos: 1 }
  const call = JSON.stringify({ integration_id: integration.id, operation: 'publish', payload: body })
  screen.title('The server keeps running; Ctrl-C stops it')
  screen.command(`KEY=$(cat ${path.join(dataDir, 'owner-api-key')})`)
  screen.command(
    `curl -X POST ${url}/api/v2/proxy/outbound -H "X-API-Key: $KEY" -H "Content-Type: application/json" -d '${call}'`,
  )
  screen.say(`\n  API reference: ${url}/docs\n`)
}

async function untilStopped(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve).once('SIGTERM', resolve)
  })
}

async function main(): Promise<number> {
  const screen = createScreen()
  const args = readArguments()
  if ('wrong' in args || args.help) {
    screen.say('wrong' in args ? `${args.wrong}\n\n${usage}` : usage)
    return 'wrong' in args ? 2 : 0
  }
  const startedMs = performance.now()
  const ranges = args.given === undefined ? [] : await privateRangesOf(args.given)
  const config = configure(args.serve, ranges)
  const dataDir = path.resolve(config.DATA_DIR)
  screen.title('Sealwire: publish through a broker whose credentials you never see')
  await using stack = new AsyncDisposableStack()
  try {
    const server = await screen.step('Start the server', () => start(config, ranges))
    stack.defer(() => server.close())
    const broker = await screen.step('Start a broker', async () => {
      const chosen = await chooseBroker(args.given, args.broker)
      return [chosen.words, chosen]
    })
    stack.defer(() => broker.stop())
    const integration = await doMainJob(screen, { baseUrl: server.url, dataDir }, broker)
    screen.say(`\n  Done in ${((performance.now() - startedMs) / 1000).toFixed(1)} s.`)
    if (args.serve) sayServing(screen, server.url, dataDir, integration)
    sayWhatNext(screen, { serve: args.serve, dataDir: dataDir })
    if (args.serve) await untilStopped()
    return 0
  } catch (err) {
    if (!(err instanceof StepError)) throw err
    screen.say(`\n  The quickstart stopped at the step “${err.step}”:\n  ${err.message}\n`)
    return 1
  }
}

process.exitCode = await main()
