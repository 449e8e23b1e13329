import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const launcher = fileURLToPath(new URL('../../scripts/run.mjs', import.meta.url))
const platformNode = `node-${process.platform}-${process.arch}`
const pretendOldNode = `--import=data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'18.20.0'}})`
const folders: string[] = []
after(() => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true })
})

interface Clone {
  root: string
  npmCalls(): number
  npmArguments(): string
  run(args: readonly string[], options?: { cwd?: string; env?: Record<string, string>; via?: string }): Promise<Ended>
  start(args: readonly string[], env?: Record<string, string>): ChildProcess
}
interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

const entryText = `
console.log(JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), by: process.env.STARTED_BY ?? 'itself' }))
if (process.argv[2] === 'wait') { process.on('SIGTERM', () => process.exit(9)); console.log('ready'); setInterval(() => {}, 1000) }
const code: number = 7
process.exitCode = code
`

/** Makes a folder like a fresh clone, with a lock file of two packages and an npm that installs them by copying. */
function clone({ npmFails = false, nodeInLock = true, devInLock = false } = {}): Clone {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'sealwire-launcher-')))
  folders.push(folder)
  const root = path.join(folder, 'a folder with spaces')
  const bin = path.join(folder, 'bin')
  const prepared = path.join(folder, 'prepared')
  const calls = path.join(folder, 'npm-calls')
  const put = (file: string, text: string, mode = 0o644) => {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text, { mode })
  }
  const packages = {
    'node_modules/dep': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-b', optional: true },
    ...(devInLock && { 'node_modules/dev': { version: '1.0.0', integrity: 'sha512-d', dev: true } }),
    ...(nodeInLock && {
      [`node_modules/${platformNode}`]: { version: '26.10.0', os: process.platform, cpu: process.arch, optional: true },
    }),
  }
  fs.mkdirSync(path.join(root, 'scripts'), { recursive: true })
  fs.copyFileSync(launcher, path.join(root, 'scripts/run.mjs'))
  put(path.join(root, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }))
  put(path.join(root, 'package.json'), '{"type":"module"}')
  put(path.join(root, 'src/cli/main.ts'), entryText)
  const { 'node_modules/other-platform': _absent, ...present } = packages
  put(path.join(prepared, '.package-lock.json'), JSON.stringify({ packages: present }))
  put(path.join(prepared, 'dep/package.json'), '{}')
  put(path.join(prepared, 'dev/package.json'), '{}')
  if (nodeInLock) {
    const about = { version: '26.10.0', os: process.platform, cpu: process.arch }
    put(path.join(prepared, platformNode, 'package.json'), JSON.stringify(about))
    put(
      path.join(prepared, platformNode, 'bin/node'),
      `#!/bin/sh\nSTARTED_BY=lock exec "${process.execPath}" "$@"\n`,
      0o755,
    )
  }
  const install = npmFails
    ? 'echo "npm error: no such registry" >&2; exit 3'
    : `rm -rf node_modules && cp -R "${prepared}" node_modules`
  put(path.join(bin, 'npm'), `#!/bin/sh\necho "$@" >> "${calls}"\n${install}\n`, 0o755)
  const environment = (extra: Record<string, string> = {}) => ({
    ...process.env,
    PATH: `${bin}:/usr/bin:/bin`,
    NODE_OPTIONS: '',
    NODE_ENV: '',
    ...extra,
  })
  return {
    root,
    npmArguments: () => fs.readFileSync(calls, 'utf8'),
    npmCalls: () => (fs.existsSync(calls) ? fs.readFileSync(calls, 'utf8').trim().split('\n').length : 0),
    start: (args, env) =>
      spawn(process.execPath, [path.join(root, 'scripts/run.mjs'), ...args], { cwd: folder, env: environment(env) }),
    async run(args, { cwd = folder, env, via = path.join(root, 'scripts/run.mjs') } = {}) {
      const child = spawn(process.execPath, [via, ...args], { cwd, env: environment(env) })
      const ended = { code: null, stdout: '', stderr: '' } as Ended
      child.stdout.on('data', (data) => (ended.stdout += data))
      child.stderr.on('data', (data) => (ended.stderr += data))
      ;[ended.code] = (await once(child, 'close')) as [number | null]
      return ended
    },
  }
}

test('the launcher installs once, says so in words, and passes arguments, folder and exit code on', async () => {
  const copy = clone()
  const first = await copy.run(['one', 'two words'])
  assert.equal(first.code, 7)
  assert.match(first.stderr, /^Installing the packages of package-lock\.json .*\nInstalled in \d+ s\.\n$/)
  assert.deepEqual(JSON.parse(first.stdout), { args: ['one', 'two words'], cwd: path.dirname(copy.root), by: 'itself' })
  const second = await copy.run([])
  assert.equal(second.stderr, '')
  assert.equal(copy.npmCalls(), 1)
})

const damages: { title: string; damage: (root: string) => void }[] = [
  {
    title: 'an interrupted installation',
    damage: (root) => fs.rmSync(path.join(root, 'node_modules/.package-lock.json')),
  },
  {
    title: 'a package folder that is gone',
    damage: (root) => fs.rmSync(path.join(root, 'node_modules/dep'), { recursive: true }),
  },
  {
    title: 'another version',
    damage: (root) => {
      const file = path.join(root, 'package-lock.json')
      fs.writeFileSync(
        file,
        fs.readFileSync(file, 'utf8').replace('"1.0.0","integrity":"sha512-a"', '"1.0.1","integrity":"sha512-c"'),
      )
    },
  },
  {
    title: 'a package that the lock file no longer names',
    damage: (root) => {
      const file = path.join(root, 'node_modules/.package-lock.json')
      fs.writeFileSync(
        file,
        fs.readFileSync(file, 'utf8').replace('"node_modules/dep"', '"node_modules/extra":{},"node_modules/dep"'),
      )
    },
  },
]
for (const { title, damage } of damages) {
  test(`the launcher installs again after ${title}`, async () => {
    const copy = clone()
    await copy.run([])
    damage(copy.root)
    await copy.run([])
    assert.equal(copy.npmCalls(), 2)
  })
}

test('two launchers that start together install once', async () => {
  const copy = clone()
  const both = await Promise.all([copy.run(['1']), copy.run(['2'])])
  assert.deepEqual(
    both.map((ended) => ended.code),
    [7, 7],
  )
  assert.equal(copy.npmCalls(), 1)
})

test('a lock of an installation whose process is gone does not stop the next one', async () => {
  const copy = clone()
  const gone = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(gone, 'exit')
  fs.mkdirSync(path.join(copy.root, '.cache'))
  fs.writeFileSync(path.join(copy.root, '.cache/install.lock'), String(gone.pid))
  assert.equal((await copy.run([])).code, 7)
})

test('a failed installation shows what npm said and ends with its code, and the next run tries again', async () => {
  const copy = clone({ npmFails: true })
  for (const calls of [1, 2]) {
    const ended = await copy.run([])
    assert.equal(ended.code, 3)
    assert.match(ended.stderr, /no such registry\nnpm ci failed \(3\)/)
    assert.equal(copy.npmCalls(), calls)
  }
})

test('the launcher works through a symbolic link and runs the file of --script', async () => {
  const copy = clone()
  const link = path.join(path.dirname(copy.root), 'sealwire')
  fs.symlinkSync(path.join(copy.root, 'scripts/run.mjs'), link)
  fs.writeFileSync(path.join(copy.root, 'scripts/other.ts'), 'console.log("other", process.argv[2])')
  const ended = await copy.run(['--script', 'scripts/other.ts', 'x'], { via: link, cwd: os.tmpdir() })
  assert.deepEqual([ended.code, ended.stdout], [0, 'other x\n'])
})

test('with NODE_ENV=production packages for development are wanted for a script, and for the server they are not', async () => {
  const copy = clone({ devInLock: true })
  const env = { NODE_ENV: 'production' }
  const dropDev = () => {
    const file = path.join(copy.root, 'node_modules/.package-lock.json')
    const { 'node_modules/dev': _dev, ...packages } = JSON.parse(fs.readFileSync(file, 'utf8')).packages
    fs.writeFileSync(file, JSON.stringify({ packages }))
  }
  await copy.run([], { env })
  assert.doesNotMatch(copy.npmArguments(), /--include=dev/)
  dropDev()
  await copy.run([], { env })
  assert.equal(copy.npmCalls(), 1)
  await copy.run(['--script', 'src/cli/main.ts'], { env })
  assert.equal(copy.npmCalls(), 2)
  assert.match(copy.npmArguments(), /--include=dev/)
})

test('an old Node hands over to the one of the lock file, and a signal reaches the program', async () => {
  const copy = clone()
  const env = { NODE_OPTIONS: pretendOldNode }
  const ended = await copy.run(['x'], { env })
  assert.deepEqual([ended.code, JSON.parse(ended.stdout).by], [7, 'lock'])
  const child = copy.start(['wait'], env)
  for await (const data of child.stdout ?? []) if (String(data).includes('ready')) break
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  assert.equal(code, 9)
})

test('where no Node can run the sources the launcher prints two commands that help', async () => {
  const copy = clone({ nodeInLock: false })
  const ended = await copy.run([], { env: { NODE_OPTIONS: pretendOldNode } })
  assert.equal(ended.code, 1)
  assert.match(ended.stderr, /needs Node 24\.18.*18\.20\.0/)
  assert.match(ended.stderr, /npm ci --include=optional[^\n]*\n +nvm install 26/)
  assert.equal((await copy.run([])).code, 7) // the same clone under a Node that can
})
