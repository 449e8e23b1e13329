#!/usr/bin/env node
// The launcher behind every npm script and the `sealwire` command. Plain JavaScript, because the Node that starts it may be too
// old to read TypeScript: it installs what package-lock.json names when that is not there yet, finds a Node that can run the
// sources, and hands over arguments, signals and exit code.
//
//   node scripts/run.mjs [arguments of src/cli/main.ts]
//   node scripts/run.mjs --script FILE [arguments of FILE]
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = path.dirname(path.dirname(fs.realpathSync(fileURLToPath(import.meta.url))))
const modules = path.join(root, 'node_modules')
const compileCache = path.join(root, '.cache', 'compile')
const installLock = path.join(root, '.cache', 'install.lock')

const say = (text) => process.stderr.write(`${text}\n`)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Answers whether this version has ML-KEM and ML-DSA with raw keys, and runs TypeScript: `>=24.18 <25 || >=26.1`. */
function isCapable(version) {
  const [major, minor] = version.split('.').map(Number)
  return (major === 24 && minor >= 18) || (major === 26 && minor >= 1) || major > 26
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch (err) {
    if (err.code === 'ENOENT' || err instanceof SyntaxError) return undefined
    throw err
  }
}

/**
 * Answers whether node_modules holds what package-lock.json names. npm writes `.package-lock.json` last, so an interrupted
 * installation has none. Packages of other platforms may be missing; with NODE_ENV=production also those for development,
 * unless a script runs.
 */
function isInstalled() {
  const wanted = readJson(path.join(root, 'package-lock.json'))?.packages
  if (wanted === undefined) return true
  const present = readJson(path.join(modules, '.package-lock.json'))?.packages
  if (present === undefined) return false
  const mayMiss = (entry) => entry.optional || entry.devOptional || entry.peer || (entry.dev && !needsDev)
  for (const [place, entry] of Object.entries(wanted)) {
    if (place === '') continue
    const found = present[place]
    if (found === undefined && mayMiss(entry)) continue
    if (found === undefined || found.version !== entry.version || found.integrity !== entry.integrity) return false
    if (!fs.existsSync(path.join(root, place, 'package.json'))) return false
  }
  return Object.keys(present).every((place) => place in wanted)
}

/** Answers whether the lock file brings a Node for this platform that is not there. */
function misses(node) {
  if (node !== undefined) return false
  const wanted = readJson(path.join(root, 'package-lock.json'))?.packages ?? {}
  return Object.entries(wanted).some(
    ([place, entry]) =>
      isNodePackage(path.basename(place), entry) && !fs.existsSync(path.join(root, place, 'package.json')),
  )
}

function isNodePackage(name, { os = [], cpu = [], version = '0.0' }) {
  const fits = (list, own) => [list].flat().includes(own)
  return (
    /^node-(bin-)?[a-z]+-[a-z0-9]+$/.test(name) &&
    fits(os, process.platform) &&
    fits(cpu, process.arch) &&
    isCapable(version)
  )
}

/** Finds a Node that can run the sources: this one, else the one that package-lock.json brought. */
function findNode() {
  if (isCapable(process.versions.node)) return process.execPath
  const names = fs.existsSync(modules) ? fs.readdirSync(modules).filter((name) => name.startsWith('node-')) : []
  for (const name of names) {
    const binary = path.join(modules, name, 'bin', 'node')
    if (isNodePackage(name, readJson(path.join(modules, name, 'package.json')) ?? {}) && fs.existsSync(binary))
      return binary
  }
  return undefined
}

/** Takes the lock of one installation at a time; waits for a living owner, and takes over from one that is gone. */
async function lockInstallation() {
  fs.mkdirSync(path.dirname(installLock), { recursive: true })
  for (let waited = false; ; waited = true) {
    try {
      fs.writeFileSync(installLock, String(process.pid), { flag: 'wx' })
      return
    } catch (err) {
      if (err.code !== 'EEXIST') throw err
    }
    if (isAbandoned()) {
      fs.rmSync(installLock, { force: true })
      continue
    }
    if (!waited) say('Another process is installing packages here; waiting for it.')
    await sleep(200)
  }
}

function isAbandoned() {
  try {
    if (Date.now() - fs.statSync(installLock).mtimeMs > 15 * 60_000) return true
    const owner = Number(fs.readFileSync(installLock, 'utf8'))
    if (owner > 0) process.kill(owner, 0)
    return false
  } catch (err) {
    return err.code === 'ESRCH'
  }
}

/** Runs `npm ci` beside the lock file. Ends the process where npm fails, with what npm said. */
async function install() {
  await lockInstallation()
  try {
    if (isInstalled() && !misses(findNode())) return
    const count = Object.keys(readJson(path.join(root, 'package-lock.json'))?.packages ?? {}).length - 1
    say(
      `Installing the packages of package-lock.json into node_modules (npm ci, up to ${count}; nothing outside this folder).`,
    )
    const startedMs = Date.now()
    const result = await runNpm(startedMs)
    if (result.status !== 0) {
      say(result.output.trimEnd())
      say(`npm ci failed (${result.status}). Once its cause is gone, run the same command again.`)
      fs.rmSync(installLock, { force: true })
      process.exit(typeof result.status === 'number' ? result.status : 1)
    }
    say(`Installed in ${Math.round((Date.now() - startedMs) / 1000)} s.`)
  } finally {
    fs.rmSync(installLock, { force: true })
  }
}

function runNpm(startedMs) {
  // npm must not run on the Node that it is about to replace.
  const own = path.join(modules, '.bin')
  const searched = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => path.resolve(folder) !== own)
  const env = { ...process.env, PATH: searched.join(path.delimiter) }
  const included = needsDev ? ['--include=optional', '--include=dev'] : ['--include=optional']
  const args = ['ci', '--loglevel=error', '--no-progress', ...included]
  const child = spawn('npm', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
  const onTerminal = process.stderr.isTTY
  const elapsed = () => `  ${Math.round((Date.now() - startedMs) / 1000)} s`
  const timer = setInterval(
    () => process.stderr.write(onTerminal ? `\r${elapsed()} ` : `${elapsed()}\n`),
    onTerminal ? 1000 : 5000,
  )
  return new Promise((resolve) => {
    const finish = (status, text) => {
      clearInterval(timer)
      if (onTerminal) process.stderr.write('\r\x1b[K')
      resolve({ status, output: text })
    }
    child.once('error', (err) => finish(err.code ?? 1, `npm could not be started: ${err.message}`))
    child.once('close', (code, signal) => finish(code ?? signal, output))
  })
}

/** Runs the entry point in this process: no second process to pass signals to, and none that idles beside a server. */
async function runHere(entry, args) {
  process.argv = [process.execPath, entry, ...args]
  if (isWritable(root)) module.enableCompileCache?.(compileCache)
  await import(pathToFileURL(entry).href)
}

/** Runs the entry point under another Node, passes signals on, and ends as it ended. */
function runUnder(node, entry, args) {
  const cache = isWritable(root) ? { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? compileCache } : {}
  const child = spawn(node, [entry, ...args], { stdio: 'inherit', env: { ...process.env, ...cache } })
  // A terminal sends SIGINT to the whole foreground group, so the child has it already.
  const passed = { SIGTERM: true, SIGHUP: true, SIGINT: !process.stdin.isTTY }
  for (const [name, pass] of Object.entries(passed)) process.on(name, () => pass && child.kill(name))
  child.once('error', (err) => {
    say(`${node} could not be started: ${err.message}`)
    explainNode()
  })
  child.once('exit', (code, signal) => {
    process.exit(signal === null ? code : 128 + constants.signals[signal])
  })
}

function isWritable(folder) {
  try {
    fs.accessSync(folder, fs.constants.W_OK)
    return true
  } catch {
    return false // a read-only checkout runs without the cache
  }
}

function explainNode() {
  say(
    `Sealwire needs Node 24.18 or later of 24, or 26.1 or later; this is ${process.versions.node} on ${process.platform}-${process.arch}.`,
  )
  say('Either of these brings one:')
  say(`  (cd ${JSON.stringify(root)} && npm ci --include=optional)    # a Node of its own, inside node_modules`)
  say('  nvm install 26 && nvm use 26             # or Node 26 from https://nodejs.org or your package manager')
  process.exit(1)
}

const args = process.argv.slice(2)
// Scripts use packages for development, which npm leaves out when NODE_ENV is production.
const needsDev = args[0] === '--script' || process.env.NODE_ENV !== 'production'
const script = args[0] === '--script' ? args.splice(0, 2)[1] : path.join('src', 'cli', 'main.ts')
if (script === undefined) {
  say('usage: run.mjs [--script FILE] [arguments]')
  process.exit(2)
}
if (!isInstalled() || misses(findNode())) await install()
const node = findNode()
if (node === undefined) explainNode()
process.env.PATH = [path.dirname(node), process.env.PATH].filter(Boolean).join(path.delimiter)
const entry = path.resolve(root, script)
if (node === process.execPath) await runHere(entry, args)
else runUnder(node, entry, args)
