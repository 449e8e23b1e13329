import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'

/** One instruction, its continuation lines joined and its comments gone. */
export interface Instruction {
  name: string
  rest: string
}

/** Reads a Dockerfile of one stage. */
export function parseDockerfile(text: string): Instruction[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replace(/\s*\\\n\s*/g, ' ')
    .split('\n')
    .flatMap((line) => {
      const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? []
      return name !== undefined && rest !== undefined ? [{ name: name.toUpperCase(), rest }] : []
    })
}

export interface Image {
  from: string
  env: Readonly<Record<string, string>>
  /** Undefined where this process is not root: then there is no other account to run as. */
  account: { uid: number; gid: number } | undefined
  user: string
  /** The folder that stands for `/app`. */
  root: string
  start(env: Readonly<Record<string, string>>): ChildProcess
  checkHealth(env: Readonly<Record<string, string>>): Promise<number | null>
}

/**
 * Carries out a Dockerfile without a container: `/app` is a folder below `folder`, FROM is the Node that runs this, RUN is
 * /bin/sh. COPY takes only what `.dockerignore` lets through. As root USER is a real change of account.
 */
export async function buildImage(repository: string, folder: string): Promise<Image> {
  const instructions = parseDockerfile(fs.readFileSync(path.join(repository, 'Dockerfile'), 'utf8'))
  const bin = path.join(folder, 'bin')
  fs.mkdirSync(bin, { recursive: true })
  linkOrCopy(process.execPath, path.join(bin, 'node')) // the account of USER may not reach the Node of this clone
  const isRoot = process.getuid?.() === 0
  const map = (text: string) => text.replace(/(?<![\w/.])\/app(?![\w-])/g, path.join(folder, 'app'))
  const { PATH = '', HOME = folder } = process.env
  const base = { PATH: `${bin}:${PATH}`, HOME, npm_config_prefer_offline: 'true' }
  const image = { from: '', user: '', env: {} as Record<string, string>, account: undefined as Image['account'] }
  const command: { cmd: readonly string[]; health: readonly string[] } = { cmd: [], health: [] }
  let cwd = folder
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    spawn(args[0] ?? '', args.slice(1), {
      ...image.account,
      cwd,
      env: { ...base, ...image.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const steps: Record<string, (rest: string) => void | Promise<void>> = {
    FROM: (rest) => {
      image.from = rest
    },
    ENV: (rest) => {
      for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) image.env[name] = map(value)
    },
    WORKDIR: (rest) => {
      cwd = map(rest)
      fs.mkdirSync(cwd, { recursive: true })
    },
    COPY: (rest) => copy(repository, cwd, rest.split(/\s+/)),
    USER: (rest) => {
      image.user = rest
      const [uid, gid] = rest.split(':').map(Number)
      if (isRoot && uid !== undefined && gid !== undefined) image.account = { uid, gid }
    },
    RUN: async (rest) => {
      const line = map(rest.replace(/--mount=\S+\s+/g, ''))
      const child = run(['/bin/sh', '-c', isRoot ? line : line.replace(/ -[og] \d+/g, '')]) // only root can hand over
      const output = collect(child)
      const [code] = (await once(child, 'close')) as [number | null]
      if (code !== 0) throw new Error(`RUN ${rest} ended with ${code}:\n${output()}`)
    },
    CMD: (rest) => {
      command.cmd = JSON.parse(map(rest)) as string[]
    },
    HEALTHCHECK: (rest) => {
      command.health = JSON.parse(map(rest.replace(/^.*?CMD\s+/, ''))) as string[]
    },
    VOLUME: () => {},
    EXPOSE: () => {},
  }
  for (const { name, rest } of instructions) {
    const step = steps[name]
    if (step === undefined) throw new Error(`${name} is not an instruction that this script can carry out`)
    await step(rest)
  }
  return {
    ...image,
    root: path.join(folder, 'app'),
    start: (env) => run(command.cmd, env),
    async checkHealth(env) {
      const child = run(command.health, env)
      const [code] = (await once(child, 'exit')) as [number | null]
      return code
    },
  }
}

function copy(repository: string, cwd: string, args: readonly string[]): void {
  const allowed = fs
    .readFileSync(path.join(repository, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1))
  const sources = args.slice(0, -1)
  const target = path.join(cwd, args.at(-1) ?? '')
  for (const source of sources) {
    if (!allowed.some((name) => source === name || source.startsWith(`${name}/`)))
      throw new Error(`COPY ${source}: .dockerignore keeps it out`)
    const from = path.join(repository, source)
    const intoFolder = (args.at(-1) ?? '').endsWith('/') && fs.statSync(from).isFile()
    fs.cpSync(from, intoFolder ? path.join(target, path.basename(source)) : target, { recursive: true })
  }
}

function linkOrCopy(from: string, to: string): void {
  try {
    fs.linkSync(from, to)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EXDEV' && (err as NodeJS.ErrnoException).code !== 'EPERM') throw err
    fs.copyFileSync(from, to)
  }
}

/** Keeps what a child writes; call the result to read it. */
export function collect(child: ChildProcess): () => string {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()))
  return () => output
}
