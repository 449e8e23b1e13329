// The batch part of the benchmark: messages a second at QoS 1 when one call, one signature and one audit intent are for many of
// them, against single publishes in the same run. Every message is counted at the broker.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { runStep } from '../step.ts'
import { describeMachine, median } from './report.ts'
import { startSealwire } from './signing/variants.ts'
import { createLoadGenerator, type Request } from './wrk.ts'

export interface BatchOptions {
  readonly rounds: number
  /** Of one measurement. */
  readonly seconds: number
}

/** `items: 0` is the publish of one message. */
interface Shape {
  readonly items: number
  readonly payloadBytes: number
}

export interface BatchMeasurement extends Shape {
  readonly callsPerS: number
  readonly messagesPerS: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly loopDelayP99Ms: number
}

const CONNECTIONS = 16
const WARM_SECONDS = 3
/** Node's histogram of the event loop counts from the last tick of a timer of so long. */
const LOOP_INTERVAL_MS = 10
const SYS_INTERVAL_MS = 1_000
const login = { username: 'bench', password: 'bench' }

const shapes: readonly Shape[] = [
  { items: 0, payloadBytes: 64 },
  { items: 1, payloadBytes: 64 },
  { items: 10, payloadBytes: 64 },
  { items: 100, payloadBytes: 64 },
  { items: 1000, payloadBytes: 64 },
  { items: 0, payloadBytes: 1024 },
  { items: 100, payloadBytes: 1024 },
]

/** The request of one shape, made from that of a single publish. */
function requestOf(single: Request, { items, payloadBytes }: Shape): Request {
  const { integration_id } = JSON.parse(single.body) as { integration_id: string }
  const message = '22.5'.repeat(payloadBytes / 4)
  const common = { topic: 'bench/temperature', qos: 1 }
  const messages = Array.from({ length: items }, () => ({ message }))
  const payload = items === 0 ? { ...common, message } : { ...common, messages }
  return { ...single, body: JSON.stringify({ integration_id, operation: 'publish', payload }) }
}

async function loopDelayP99Ms(url: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text()
  const found = /^nodejs_eventloop_lag_p99_seconds (.+)$/m.exec(text)?.[1]
  if (found === undefined) throw new Error('/metrics does not name the event loop delay')
  return Math.max(0, Number(found) * 1000 - LOOP_INTERVAL_MS)
}

/** Follows how many messages the broker has received since it started; it says so every second. */
async function countAtBroker(port: number): Promise<AsyncDisposable & { received(): Promise<number> }> {
  const watcher = await connectAsync(`mqtt://127.0.0.1:${port}`, { ...login, reconnectPeriod: 0 })
  let latest = 0
  watcher.on('message', (_topic, payload) => {
    latest = Number(payload.toString())
  })
  await watcher.subscribeAsync('$SYS/broker/publish/messages/received')
  return {
    /** Once it has said nothing new for a while. */
    async received() {
      for (let before = -1; before !== latest; ) {
        before = latest
        await delay(SYS_INTERVAL_MS * 2.5)
      }
      return latest
    },
    [Symbol.asyncDispose]: () => watcher.endAsync(true),
  }
}

function medianOf(all: readonly BatchMeasurement[]): BatchMeasurement {
  const [first] = all
  if (!first) throw new RangeError('no measurement')
  const of = (figure: (one: BatchMeasurement) => number) => median(all.map(figure))
  return {
    ...first,
    callsPerS: of((one) => one.callsPerS),
    messagesPerS: of((one) => one.messagesPerS),
    p50Ms: of((one) => one.p50Ms),
    p99Ms: of((one) => one.p99Ms),
    loopDelayP99Ms: of((one) => one.loopDelayP99Ms),
  }
}

/**
 * Measures every shape in turns, on one server and one broker.
 *
 * @throws {Error} where the broker received fewer messages than were answered
 */
export async function measureBatch({ rounds, seconds }: BatchOptions): Promise<BatchMeasurement[]> {
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-batch-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const generator = stack.use(await createLoadGenerator())
  const settings = ['max_inflight_messages 1000', `sys_interval ${SYS_INTERVAL_MS / 1000}`]
  const mosquitto = await startMosquitto({ users: { [login.username]: login.password }, settings })
  stack.adopt(mosquitto, (one) => one.stop())
  const { tcp: port } = mosquitto.ports
  const counter = stack.use(await countAtBroker(port))
  const credential = { hostname: '127.0.0.1', port, ...login }
  const broker = { words: 'Mosquitto', protocol: 'mqtt', credential, stop: async () => {} } as const
  const quotas = { RATE_LIMIT_KEY: '1000000', RATE_LIMIT_TENANT: '1000000' }
  const { running, request } = await startSealwire(path.join(scratch, 'server'), quotas, broker)
  stack.adopt(running, (one) => one.stop())

  const requests = shapes.map((shape) => ({ shape, request: requestOf(request, shape) }))
  await runStep('Warm', async () => {
    for (const one of requests) await generator.load(one.request, CONNECTIONS, WARM_SECONDS)
  })
  const measured = new Map<Shape, BatchMeasurement[]>(shapes.map((shape) => [shape, []]))
  for (let round = 1; round <= rounds; round++) {
    await runStep(`Round ${round} of ${rounds}`, async () => {
      for (const { shape, request } of requests) {
        const before = await counter.received()
        await loopDelayP99Ms(running.url) // what follows is counted from here
        const { perS, p50Ms, p99Ms, requests: calls } = await generator.load(request, CONNECTIONS, seconds)
        const lag = await loopDelayP99Ms(running.url)
        const each = Math.max(1, shape.items)
        const arrived = (await counter.received()) - before
        if (arrived < calls * each) throw new Error(`${calls * each} messages were answered, and ${arrived} arrived`)
        const one = { callsPerS: perS, messagesPerS: perS * each, p50Ms, p99Ms, loopDelayP99Ms: lag }
        measured.get(shape)?.push({ ...shape, ...one })
      }
    })
  }
  return [...measured.values()].map(medianOf)
}

const whole = (value: number) => Math.round(value).toLocaleString('en')
const tenths = (value: number) => (value < 100 ? value.toFixed(1) : whole(value))

export function renderBatch(measurements: readonly BatchMeasurement[]): string {
  const rows = measurements.map((one) => {
    const name = one.items === 0 ? 'one message' : `batch of ${one.items}`
    const figures = [
      whole(one.callsPerS),
      whole(one.messagesPerS),
      ...[one.p50Ms, one.p99Ms, one.loopDelayP99Ms].map(tenths),
    ]
    return `| ${[`${name}, ${one.payloadBytes} B`, ...figures].join(' | ')} |`
  })
  return [
    `| ${CONNECTIONS} connections, QoS 1 | calls/s | messages/s | p50 ms | p99 ms | loop delay p99 ms |`,
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
  ].join('\n')
}

export async function benchBatch(options: BatchOptions): Promise<{ results: object; text: string }> {
  const date = new Date().toISOString()
  const measurements = await measureBatch(options)
  const machine = describeMachine()
  const measured = `Measured ${date.slice(0, 10)} with \`npm run bench -- batch\` on ${machine}.`
  return {
    results: { date, machine, ...options, connections: CONNECTIONS, measurements },
    text: [renderBatch(measurements), '', measured].join('\n'),
  }
}
