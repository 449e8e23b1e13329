import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Embedded, startEmbedded } from '#src/db/embedded.ts'
import { findBinaries, installBinaries } from '#src/db/embedded-binaries.ts'
import { decidePlace } from '#src/db/embedded-place.ts'
import { createDb } from '#src/db/pool.ts'
import { processesIn } from '#src/db/process-identity.ts'

const isRoot = process.getuid?.() === 0
const linux = process.platform === 'linux'
const OWNER = fileURLToPath(new URL('./owner-process.ts', import.meta.url))
const NOBODY = 65_534

let base: string
let dataDir: string
const cleanup: (() => unknown)[] = []
/** The binaries, for tests that are not about copying them. */
let seed: string
before(() => {
  seed = mkdtempSync(path.join(os.tmpdir(), 'sealwire-native-'))
  installBinaries(findBinaries(), seed)
})
after(() => rmSync(seed, { recursive: true }))
beforeEach(() => {
  base = mkdtempSync(path.join(os.tmpdir(), 'sealwire-own-')) // mode 0700
  dataDir = path.join(base, 'data')
  mkdirSync(dataDir, { mode: 0o700 })
  if (linux) execFileSync('cp', ['-Rl', path.join(seed, 'native'), dataDir])
})
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end()
  rmSync(base, { recursive: true, force: true })
})

async function start(options: Partial<Parameters<typeof startEmbedded>[0]> = {}): Promise<Embedded> {
  const own = await startEmbedded({ dataDir, ...options })
  cleanup.push(own.stop)
  return own
}

async function ask<Row extends object>(connection: Embedded['connection'], sql: string): Promise<Row[]> {
  const db = createDb({ ...connection, max: 1 })
  try {
    return (await db.query<Row>(sql)).rows
  } finally {
    await db.close()
  }
}

interface OwnerProcess {
  child: ChildProcess
  connection: Embedded['connection']
  refused?: string
}

/** Starts another owner and returns what it said. */
/**
 * The command that runs the owner as another account. That account need not be able to enter the folder of this clone:
 * it sees the clone at a place of its own, in a mount namespace that ends with it.
 */
function asAccount(id: number): string[] {
  const clone = path.resolve(import.meta.dirname, '../..')
  const seen = mkdtempSync('/tmp/sealwire-clone-')
  cleanup.push(() => rmSync(seen, { recursive: true }))
  chmodSync(seen, 0o755)
  const there = (file: string) => (file.startsWith(`${clone}/`) ? path.join(seen, path.relative(clone, file)) : file)
  const script = `mount --bind "$0" "$1" && cd / && exec setpriv --reuid=${id} --regid=${id} --clear-groups "$2" "$3" "$4"`
  return ['unshare', '-m', 'sh', '-c', script, clone, seen, there(process.execPath), there(OWNER)]
}

async function startOwner(folder = dataDir, command = [process.execPath, OWNER]): Promise<OwnerProcess> {
  const [file = '', ...args] = command
  const child = spawn(file, [...args, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  cleanup.push(() => finish(child))
  assert.ok(child.stdout)
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const said = JSON.parse(line) as Embedded['connection'] & { refused?: string }
  return { child, connection: said, ...(said.refused !== undefined && { refused: said.refused }) }
}

/** Lets an owner stop its database and end. */
async function finish(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.stdin?.end()
  await exit
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

const dataFolder = () => path.join(dataDir, 'postgres')
const postmaster = (folder = dataFolder()) =>
  Number(readFileSync(path.join(folder, 'postmaster.pid'), 'utf8').split('\n')[0])

/** Waits until `condition` holds; the processes we wait for are not our children, so there is no event. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 15_000; !condition(); await delay(10)) assert.ok(Date.now() < end, 'waited too long')
}

test('an own database answers, writes durably, and listens on no network', async () => {
  const { connection } = await start()
  const names = [
    'fsync',
    'synchronous_commit',
    'full_page_writes',
    'listen_addresses',
    'data_checksums',
    'server_encoding',
  ]
  const rows = await ask<{ name: string; setting: string }>(
    connection,
    `select name, setting from pg_settings where name in (${names.map((name) => `'${name}'`).join()})`,
  )
  assert.deepEqual(Object.fromEntries(rows.map(({ name, setting }) => [name, setting])), {
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    listen_addresses: '',
    data_checksums: 'on',
    server_encoding: 'UTF8',
  })
  assert.equal(statSync(connection.host).mode & 0o777, 0o700)
})

test('what was committed is there after stop and start, and stop leaves nothing behind but the data', async () => {
  const first = await start()
  await ask(first.connection, 'create table t as select 42 as answer')
  await Promise.all([first.stop(), first.stop()])
  assert.deepEqual(processesIn(dataFolder()) ?? [], [])
  assert.ok(!existsSync(first.connection.host))
  const second = await start()
  assert.deepEqual(await ask(second.connection, 'select answer from t'), [{ answer: 42 }])
})

test('blanks in the path and a path longer than a socket address are no matter', async () => {
  dataDir = path.join(base, 'a folder with blanks', 'x'.repeat(120))
  const { connection } = await start()
  assert.equal((await ask(connection, 'select 1')).length, 1)
  assert.ok(`${connection.host}/.s.PGSQL.5432.lock`.length <= 103)
})

test('the binaries are copied once, and those of other versions are removed', async () => {
  rmSync(path.join(dataDir, 'native'), { recursive: true, force: true })
  const first = await start()
  const [version] = readdirSync(path.join(dataDir, 'native'))
  assert.ok(version)
  const made = statSync(path.join(dataDir, 'native', version)).ctimeMs
  await first.stop()
  mkdirSync(path.join(dataDir, 'native', '17.0.0'))
  await start()
  assert.deepEqual(readdirSync(path.join(dataDir, 'native')), [version])
  assert.equal(statSync(path.join(dataDir, 'native', version)).ctimeMs, made)
})

test('a first start that was interrupted is begun again', async () => {
  for (const draft of ['postgres.draft-1', `postgres.draft-${process.pid}`]) {
    mkdirSync(path.join(dataDir, draft, 'base'), { recursive: true })
    writeFileSync(path.join(dataDir, draft, 'PG_VERSION'), '18\n')
  }
  mkdirSync(path.join(dataDir, 'native', '18.0.0.draft-1'), { recursive: true })
  const { connection } = await start()
  assert.equal((await ask(connection, 'select 1')).length, 1)
  assert.deepEqual(readdirSync(dataDir).sort(), ['native', 'owner.1', 'postgres'])
  assert.equal(readdirSync(path.join(dataDir, 'native')).length, 1)
})

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test(`PostgreSQL ended by ${signal} is started again at the same address, with everything that was committed`, async () => {
    const lines: string[] = []
    const said = Promise.withResolvers<void>()
    const { connection } = await start({
      log: (line) => {
        lines.push(line)
        if (line.includes('starting it again')) said.resolve()
      },
    })
    await ask(connection, 'create table t as select 42 as answer')
    const killed = postmaster()
    process.kill(killed, signal)
    await said.promise
    await until(() => existsSync(path.join(dataFolder(), 'postmaster.pid')) && postmaster() !== killed)
    const db = createDb(connection)
    cleanup.push(() => db.close())
    for (let answered = false; !answered; ) {
      answered = await db.ping().then(
        () => true,
        () => false,
      )
    }
    assert.deepEqual((await db.query('select answer from t')).rows, [{ answer: 42 }])
  })
}

test('kill -9 of the owner ends PostgreSQL and removes its socket folder; the next start has every commit', async () => {
  const { child, connection } = await startOwner()
  await ask(connection, 'create table t as select 42 as answer')
  const pid = postmaster()
  await kill(child)
  const { connection: next } = await start()
  assert.notEqual(postmaster(), pid)
  assert.deepEqual(await ask(next, 'select answer from t'), [{ answer: 42 }])
  await until(() => !existsSync(connection.host))
})

test('a PostgreSQL that outlived owner and watchdog is stopped by the next start', { skip: !linux }, async () => {
  const { child, connection } = await startOwner()
  await ask(connection, 'create table t as select 42 as answer')
  const orphan = postmaster()
  const family = execFileSync('ps', ['-e', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  const shell = family.find(([pid]) => pid === orphan)?.[1]
  const watchdog = family.filter(([pid, parent]) => parent === shell && pid !== orphan).map(([pid]) => pid)
  assert.ok(shell !== undefined && watchdog.length === 1)
  for (const pid of [...watchdog, shell]) process.kill(pid as number, 'SIGKILL')
  await kill(child)
  assert.equal(postmaster(), orphan)
  process.kill(orphan, 0) // it runs

  const { connection: next } = await start()
  assert.notEqual(postmaster(), orphan)
  assert.ok(!existsSync(connection.host))
  assert.deepEqual(await ask(next, 'select answer from t'), [{ answer: 42 }])
})

test('a second owner is refused with the number of the first, which notices nothing', async () => {
  const first = await startOwner()
  const db = createDb({ ...first.connection, max: 1 })
  cleanup.push(() => db.close())
  const session = async () => (await db.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
  const before = await session()
  await assert.rejects(startEmbedded({ dataDir }), {
    message: new RegExp(`belongs to process ${first.child.pid} since \\d{4}-\\d\\d-\\d\\dT`),
  })
  const second = await startOwner()
  assert.match(second.refused ?? '', new RegExp(`belongs to process ${first.child.pid} `))
  assert.equal(await session(), before)

  first.child.stdin?.end()
  await once(first.child, 'exit')
  await start()
})

test('one process cannot own a folder twice either', async () => {
  const { stop } = await start()
  await assert.rejects(startEmbedded({ dataDir }), /belongs to process/)
  await stop()
  await start()
})

test('a postmaster.pid whose number went to another process does not stop the start', { skip: !linux }, async () => {
  const { stop } = await start()
  await stop()
  const lines = [process.pid, dataFolder(), 1_700_000_000, 5432, '/tmp/gone', '', '  1 2', 'ready   ']
  writeFileSync(path.join(dataFolder(), 'postmaster.pid'), lines.join('\n'))
  await start()
})

test('data of another major version is refused, untouched, with how to move', async () => {
  const { stop } = await start()
  await stop()
  writeFileSync(path.join(dataFolder(), 'PG_VERSION'), '17\n')
  await assert.rejects(
    startEmbedded({ dataDir }),
    /PostgreSQL 17; this release brings 18.*pg_dump.*DATABASE_URL.*move DATA_DIR away/,
  )
  writeFileSync(path.join(dataFolder(), 'PG_VERSION'), '18\n')
  await start()
})

test('the log holds what went wrong and no value of a row', async () => {
  const lines: string[] = []
  const { connection } = await start({ log: (line) => lines.push(line) })
  await ask(connection, 'create table t (id text primary key)')
  await ask(connection, `insert into t values ('classified')`)
  await assert.rejects(ask(connection, `insert into t values ('classified')`), { code: '23505' })
  await until(() => lines.some((line) => line.startsWith('ERROR:'))) // it comes by a pipe, beside the answer
  assert.doesNotMatch(lines.join('\n'), /classified|insert into/)
})

test('as root it runs below a folder of mode 0700, and every file stays with root', {
  skip: !isRoot || !linux,
}, async () => {
  const { connection } = await start()
  assert.equal(statSync(base).mode & 0o777, 0o700)
  assert.equal(statSync(path.join(dataFolder(), 'PG_VERSION')).uid, 0)
  const inside = readFileSync(`/proc/${postmaster()}/uid_map`, 'utf8').trim().split(/\s+/)
  assert.deepEqual(inside, ['65534', '0', '1'])
  assert.equal((await ask(connection, 'select 1')).length, 1)
})

test('not as root it runs as the account that starts it', { skip: !isRoot || !linux }, async () => {
  for (const folder of [base, dataDir]) chownSync(folder, NOBODY, NOBODY)
  const { connection, refused } = await startOwner(dataDir, asAccount(NOBODY))
  assert.equal(refused, undefined)
  assert.equal(statSync(path.join(dataFolder(), 'PG_VERSION')).uid, NOBODY)
  assert.equal((await ask(connection, 'select 1')).length, 1)
})

test('as root without user namespaces it runs as an account, which its data keeps', {
  skip: !isRoot || !linux,
}, async () => {
  const stateFolder = mkdtempSync('/tmp/sealwire-state-')
  cleanup.push(() => rmSync(stateFolder, { recursive: true }))
  chmodSync(stateFolder, 0o755)
  mkdirSync(dataDir, { recursive: true })
  const refused = decidePlace(dataDir, { stateFolder, namespaceReaches: () => false })
  const first = await start({ place: refused })
  await ask(first.connection, 'create table t as select 42 as answer')
  const data = path.join(refused.folder, 'postgres')
  assert.equal(path.dirname(refused.folder), stateFolder)
  assert.notEqual(refused.account?.uid, 0)
  assert.equal(statSync(`/proc/${postmaster(data)}`).uid, refused.account?.uid)
  await first.stop()

  const permitted = decidePlace(dataDir, { stateFolder, namespaceReaches: () => true })
  assert.deepEqual(permitted, refused)
  const second = await start({ place: permitted })
  assert.deepEqual(await ask(second.connection, 'select answer from t'), [{ answer: 42 }])
})

test('data made in a user namespace is not handed to an account', () => {
  mkdirSync(dataFolder(), { recursive: true })
  const options = { isRoot: true, stateFolder: path.join(base, 'state') }
  assert.throws(() => decidePlace(dataDir, { ...options, namespaceReaches: () => false }), /user namespace/)
  assert.deepEqual(decidePlace(dataDir, { ...options, namespaceReaches: () => true }).folder, dataDir)
})
