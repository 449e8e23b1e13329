import fs from 'node:fs/promises'
import path from 'node:path'
import type { Running } from '../process.ts'
import type { LoadGenerator, Request } from '../wrk.ts'

/** Where the threads of the server spend a request: microseconds of one, by what the code is for. */
export type Profile = readonly { readonly part: string; readonly micros: number }[]

export interface Profiles {
  readonly loop: Profile
  /** Of the thread that seals and signs. */
  readonly crypto: Profile
}

interface CpuProfile {
  nodes: { id: number; children?: number[]; callFrame: { functionName: string; url: string } }[]
  samples: number[]
  timeDeltas: number[]
}

/** The nearest caller that one of these names decides, whose helpers (`src/core`) count for it; what nobody names is Node's own. */
const parts: readonly (readonly [part: string, file: RegExp])[] = [
  ['signing and verifying the root, hashing the tree', /src\/envelope\/(sign-|merkle)/],
  ['sealing: encapsulate, derive, encrypt, HMAC, base64', /src\/envelope\//],
  ['posting to the thread and back', /src\/signing\/|^node:internal\/(worker|per_context\/messageport)/],
  ['audit rows, chain and the PostgreSQL client', /src\/(audit|db)\/|node_modules\/pg/],
  ['MQTT client and packets', /node_modules\/mqtt|src\/messaging\/(broker-client|packet-guard)/],
  ['policy, guards, pool, publish', /src\/(messaging|policy|policies|guards|integrations|vault)\//],
  ['API key, strict JSON, schema, answer', /src\/(http|tenants|idempotency)\/|node_modules\/zod/],
  ['HTTP: parser, headers, writing the answer', /^node:_http/],
  ['Express and its router', /node_modules\/(express|router|path-to-regexp)/],
]

function partOf(frames: readonly { functionName: string; url: string }[]): string {
  const [leaf] = frames
  if (leaf?.functionName === '(garbage collector)') return 'garbage collection'
  for (const { url } of frames) {
    const found = parts.find(([, file]) => file.test(url))
    if (found) return found[0]
  }
  return 'Node: sockets, streams, timers'
}

/** Sums the samples behind the first `skipS` seconds, in which the program starts and the compiler works. */
export function readProfile(profile: CpuProfile, skipS: number, requests: number): Profile {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  )
  const names = new Map<number, string | null>()
  const nameOf = (id: number): string | null => {
    const known = names.get(id)
    if (known !== undefined) return known
    const frames: CpuProfile['nodes'][number]['callFrame'][] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = nodes.get(at)
      if (node) frames.push(node.callFrame)
    }
    const name = frames[0]?.functionName === '(idle)' ? null : partOf(frames)
    names.set(id, name)
    return name
  }
  const sums = new Map<string, number>()
  let elapsed = 0
  for (const [i, id] of profile.samples.entries()) {
    const micros = profile.timeDeltas[i] ?? 0
    elapsed += micros
    const name = elapsed < skipS * 1e6 ? null : nameOf(id)
    if (name !== null) sums.set(name, (sums.get(name) ?? 0) + micros)
  }
  return [...sums]
    .map(([part, micros]) => ({ part, micros: micros / requests }))
    .sort((one, other) => other.micros - one.micros)
}

/**
 * Loads a server that was started with `--cpu-prof` for a while and reads the profile that it leaves in `folder` when it is
 * stopped. The load is measured; warming it is the caller's business.
 */
export async function profileUnderLoad(
  { running, request }: { running: Running; request: Request },
  generator: LoadGenerator,
  folder: string,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Profiles> {
  const startedMs = performance.now() - running.startMs
  await generator.load(request, connections, seconds) // warm
  const skipS = (performance.now() - startedMs) / 1000
  const { requests } = await generator.load(request, connections, seconds)
  await running.stop()
  const files = (await fs.readdir(folder)).filter((name) => name.endsWith('.cpuprofile'))
  const read = async (isThread: boolean) => {
    // CPU.<date>.<time>.<process>.<thread>.<number>.cpuprofile; thread 0 has the event loop of the server
    const file = files.find((name) => (name.split('.')[4] !== '0') === isThread)
    if (file === undefined)
      throw new Error(`the server left no profile of ${isThread ? 'its thread' : 'its event loop'}`)
    const profile = JSON.parse(await fs.readFile(path.join(folder, file), 'utf8')) as CpuProfile
    return readProfile(profile, skipS, requests)
  }
  return { loop: await read(false), crypto: await read(true) }
}
