import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import fs from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../../test/run-command.ts'
import type { Running } from '../process.ts'

/** The version that is measured; installed once, into the benchmark's own folder. */
const VERSION = '4.1.8'
const root = fileURLToPath(new URL('../../..', import.meta.url))
const FOLDER = path.join(root, '.cache/node-red')

export interface NodeRedBroker {
  readonly hostname: string
  readonly port: number
  readonly username: string
  readonly password: string
}

async function install(): Promise<string> {
  const program = path.join(FOLDER, 'node_modules/node-red/red.js')
  if (!existsSync(program)) {
    await fs.mkdir(FOLDER, { recursive: true })
    const flags = ['--prefix', FOLDER, '--no-audit', '--no-fund', '--omit=optional', '--ignore-scripts']
    await runCommand('npm', ['install', `node-red@${VERSION}`, ...flags])
  }
  return program
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await once(server.close(), 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** HTTP in, MQTT out at QoS 1, HTTP response: the flow that a newcomer draws. It answers without waiting for the broker. */
function flowOf({ hostname, port, username, password }: NodeRedBroker) {
  const broker = {
    id: 'broker',
    type: 'mqtt-broker',
    broker: hostname,
    port: String(port),
    protocolVersion: '5',
    credentials: { user: username, password },
  }
  const node = (id: string, type: string, wires: string[][], more: object = {}) => ({
    id,
    type,
    z: 'flow',
    wires,
    ...more,
  })
  return [
    { id: 'flow', type: 'tab', label: 'relay' },
    broker,
    node('in', 'http in', [['split']], { url: '/publish', method: 'post' }),
    node('split', 'function', [['out', 'answer']], {
      func: 'msg.topic = msg.payload.topic; msg.qos = msg.payload.qos; msg.payload = msg.payload.message; return msg;',
      outputs: 1,
    }),
    node('out', 'mqtt out', [], { broker: 'broker', topic: '', qos: '', retain: '' }),
    node('answer', 'http response', [], { statusCode: '200' }),
  ]
}

/** Starts Node-RED with one flow, without editor and log. */
export async function startNodeRed(broker: NodeRedBroker, scratch: string): Promise<Running> {
  const program = await install()
  const port = await freePort()
  await fs.mkdir(scratch, { recursive: true })
  const { credentials } = flowOf(broker)[1] as { credentials: object }
  await fs.writeFile(path.join(scratch, 'flows.json'), JSON.stringify(flowOf(broker)))
  await fs.writeFile(path.join(scratch, 'flows_cred.json'), JSON.stringify({ broker: credentials }))
  const settings = {
    flowFile: 'flows.json',
    credentialSecret: false,
    disableEditor: true,
    httpAdminRoot: false,
    uiHost: '127.0.0.1',
    uiPort: port,
    logging: { console: { level: 'off' } },
  }
  await fs.writeFile(path.join(scratch, 'settings.js'), `module.exports = ${JSON.stringify(settings)}`)
  const startedMs = performance.now()
  const child = spawn(
    process.execPath,
    [program, '--userDir', scratch, '--settings', path.join(scratch, 'settings.js')],
    {
      stdio: 'ignore',
    },
  )
  const exited = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  const probe = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"topic":"bench/x","qos":0,"message":"x"}',
  }
  for (let left = 300; ; left--) {
    const answer = await fetch(`${url}/publish`, probe).catch(() => undefined) // not listening yet
    if (answer?.ok) break
    if (left === 0 || child.exitCode !== null) throw new Error('Node-RED did not start')
    await delay(100)
  }
  return {
    url,
    pid: child.pid ?? 0,
    startMs: performance.now() - startedMs,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}
