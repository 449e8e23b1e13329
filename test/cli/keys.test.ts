import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { initialise } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { runCli } from '#test/support/cli.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { startServerProcess } from '#test/support/server-process.ts'

interface Listed {
  id: string
  purpose: string
  state: string
  private_half: string
  active_from: string | null
  counts: Record<string, number>
}

describe('sealwire keys', () => {
  let database: TestDatabase
  let home: string
  let env: Record<string, string>
  const keys = (...args: string[]) => runCli(['keys', ...args], { env, operator: () => import('#src/app.ts') })
  const list = async () => JSON.parse((await keys('list', '--json')).out) as Listed[]
  const find = async (purpose: string, state = 'active') => {
    const found = (await list()).find((key) => key.purpose === purpose && key.state === state)
    assert.ok(found, `${purpose} ${state}`)
    return found
  }

  before(async () => {
    database = await testDatabase()
    home = await mkdtemp(path.join(tmpdir(), 'sealwire-keys-'))
    env = { DATABASE_URL: database.url, DATA_DIR: home }
    await initialise(parseConfig(env), { log: silentLog })
  })
  after(async () => {
    await database.drop()
    await rm(home, { recursive: true, force: true })
  })

  test('list prints a line for each key: id, purpose, state, since, KMS key, counts', async () => {
    const { code, out } = await keys('list')
    const lines = out.split('\n')
    assert.deepEqual([code, lines.length], [0, 7])
    const pepper = lines.find((line) => line.startsWith('pep_'))
    assert.match(
      pepper ?? '',
      /^pep_\S{26} {2}api-key-pepper {2}active {5}\d{4}-\S+Z {2}local-\S+ {2}api keys: 1 {2}ended api keys: 0$/,
    )
    const purposes = (await list()).map(({ purpose }) => purpose)
    assert.ok(purposes.includes('audit-key') && purposes.includes('canary'))
  })

  test('list --tenant lists the keys of a tenant', async () => {
    const { rows } = await database.db.query<{ id: string }>('select id from tenants')
    assert.deepEqual(await keys('list', '--tenant', rows[0]?.id ?? '', '--json'), { code: 0, out: '[]', err: '' })
    assert.deepEqual(await keys('list', '--tenant', 'ten_nobody'), {
      code: 1,
      out: '',
      err: 'error: object.not_found: There is no tenant ten_nobody.',
    })
  })

  test('rotate issuer publishes a key, says when it becomes active, and does no more when called again', async () => {
    const first = await keys('rotate', 'issuer')
    const next = await find('issuer-key', 'next')
    assert.deepEqual([first.code, first.out], [0, next.id])
    assert.match(first.err, new RegExp(`activates it after ${next.active_from}`))
    const again = await keys('rotate', 'issuer', '--json')
    assert.deepEqual(JSON.parse(again.out), {
      step: 'waiting',
      key_id: next.id,
      active_from: next.active_from,
      replaced_id: null,
      in_document: true,
    })
  })

  const red: { args: string[]; says: RegExp; flag: RegExp }[] = [
    { args: ['revoke', 'sig_x'], says: /Nothing that sig_x signed opens any more/, flag: /add --yes$/ },
    { args: ['destroy', 'pep_x'], says: /gone for good/, flag: /add --yes$/ },
    { args: ['destroy', 'pep_x', '--force'], says: /Every API key that is still under it stops/, flag: /add --yes$/ },
    { args: ['rotate', 'cursor'], says: /Every cursor/, flag: /add --yes$/ },
    { args: ['rotate', 'root'], says: /every recipient/, flag: /add --everybody-pins-anew$/ },
    { args: ['rotate', 'root', '--yes'], says: /every recipient/, flag: /add --everybody-pins-anew$/ },
    { args: ['root', 'offline', '--out', '/nowhere/root.json'], says: /leaves the database/, flag: /add --yes$/ },
  ]
  for (const { args, says, flag } of red) {
    test(`${args.join(' ')}: says what will happen, and without the flag nothing does`, async () => {
      const untouched = await list()
      const { code, out, err } = await keys(...args)
      assert.deepEqual([code, out], [2, ''])
      assert.match(err, says)
      assert.match(err, flag)
      assert.deepEqual(await list(), untouched)
    })
  }

  test('revoke names the successor that signs from now on', async () => {
    const [old, next] = [await find('issuer-key'), await find('issuer-key', 'next')]
    const { code, out, err } = await keys('revoke', old.id, '--yes')
    assert.deepEqual([code, out], [0, old.id])
    assert.match(err, new RegExp(`${next.id} signs from now on`))
    assert.equal((await find('issuer-key')).id, next.id)
    assert.equal((await keys('revoke', old.id, '--yes')).code, 1)
    assert.match(
      (await keys('revoke', 'sig_nobody', '--yes')).err,
      /error: object\.not_found: There is no key sig_nobody\. See: sealwire keys list/,
    )
  })

  test('rotate pepper keeps the old one while an API key is under it; destroy refuses and says how many', async () => {
    const { code, out, err } = await keys('rotate', 'pepper')
    assert.equal(code, 0)
    assert.match(err, /API keys move from pep_\S+ when they are next used/)
    const old = await find('api-key-pepper', 'retired')
    assert.deepEqual([old.counts['api_keys'], (await find('api-key-pepper')).id], [1, out])
    const refused = await keys('destroy', old.id, '--yes')
    assert.equal(refused.code, 1)
    assert.match(refused.err, /1 API keys are still under pepper/)
    const forced = await keys('destroy', old.id, '--yes', '--force', '--json')
    assert.deepEqual(JSON.parse(forced.out), { key_id: old.id, stopped_api_keys: 1 })
    assert.match(forced.err, /1 API key stopped working/)
  })

  test('the root goes offline into a file that only its owner reads, signs from there, and comes back', async () => {
    const file = path.join(home, 'root.json')
    const fingerprint = (await keys('root')).out
    assert.match(fingerprint, /^[\w-]{64}$/)
    const offline = await keys('root', 'offline', '--out', file, '--yes', '--json')
    assert.equal(offline.code, 0, offline.err)
    const { key_id: rootId } = JSON.parse(offline.out) as { key_id: string }
    assert.equal(rootId, (await find('root-key')).id)
    assert.match(offline.err, /keys root sign --root-file/)
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal((await find('root-key')).private_half, 'offline')
    const status = JSON.parse((await keys('root', '--json')).out) as { root: string; offline: boolean }
    assert.deepEqual([status.root, status.offline], [fingerprint, true])

    const without = await keys('rotate', 'issuer')
    assert.equal(without.code, 1)
    assert.match(without.err, /root key is offline.*add --root-file FILE/)
    const withRoot = await keys('rotate', 'issuer', '--root-file', file)
    assert.equal(withRoot.code, 0, withRoot.err)
    const signed = await keys('root', 'sign', '--root-file', file, '--days', '30')
    assert.equal(signed.code, 0)
    assert.ok(Math.abs(Date.parse(signed.out) - Date.now() - 30 * 86_400_000) < 60_000)
    assert.equal((await keys('root', 'sign', '--root-file', file, '--days', '91')).code, 2)

    const readable = path.join(home, 'readable.json')
    await writeFile(readable, await readFile(file), { mode: 0o644 })
    const refused = await keys('root', 'sign', '--root-file', readable)
    assert.equal(refused.code, 2)
    assert.match(refused.err, /can be read by others[\s\S]*chmod 600/)

    const asJson = await keys('root', 'sign', '--root-file', file, '--json')
    const { document_expires_at: expires } = JSON.parse(asJson.out) as { document_expires_at: string }
    assert.ok(Math.abs(Date.parse(expires) - Date.now() - 90 * 86_400_000) < 60_000)
    const operator = () => import('#src/app.ts')
    const piped = { env, operator, stdin: new Uint8Array(await readFile(file)) }
    assert.equal((await runCli(['keys', 'root', 'sign', '--root-file', '-'], piped)).code, 0)

    const online = await keys('root', 'online', '--root-file', file, '--json')
    assert.equal(online.code, 0, online.err)
    assert.deepEqual(JSON.parse(online.out), { key_id: rootId })
    assert.equal((await find('root-key')).private_half, 'here')
    assert.equal((await keys('root')).out, fingerprint)
  })

  test('a root that stays because the change failed: the file that was written, and what to do with it, is named', async () => {
    const file = path.join(home, 'unfinished.json')
    const before = (await keys('root')).out
    // What the audit log writes last fails: the change has delivered its file by then.
    await database.db.query(
      `create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$`,
    )
    await database.db.query(
      `create trigger refuse before update of wrapped on keys for each row when (new.wrapped is null) execute function refuse()`,
    )
    try {
      const early = await keys('root', 'offline', '--out', file, '--yes')
      assert.equal(early.code, 1)
      await assert.rejects(stat(file), { code: 'ENOENT' })
    } finally {
      await database.db.query('drop function refuse cascade')
    }
    await database.db.query('alter table audit_rows rename to audit_rows_away')
    try {
      const late = await keys('root', 'offline', '--out', file, '--yes')
      assert.equal(late.code, 4, late.err)
      assert.match(late.err, /unfinished\.json holds the root key all the same.*Delete the file only if/)
    } finally {
      await database.db.query('alter table audit_rows_away rename to audit_rows')
    }
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.deepEqual([(await keys('root')).out, (await find('root-key')).private_half], [before, 'here'])
  })

  test('a file that is there already is not overwritten, and the root stays where it is', async () => {
    const file = path.join(home, 'root.json')
    const kept = await readFile(file, 'utf8')
    const { code, err } = await keys('root', 'offline', '--out', file, '--yes')
    assert.equal(code, 2)
    assert.match(err, /exists and is not overwritten/)
    assert.equal(await readFile(file, 'utf8'), kept)
    assert.equal((await find('root-key')).private_half, 'here')
  })

  test('rotate root prints the new fingerprint, which is another one', async () => {
    const before = (await keys('root')).out
    const { code, out, err } = await keys('rotate', 'root', '--everybody-pins-anew', '--json')
    assert.equal(code, 0)
    const { root } = JSON.parse(out) as { root: string }
    assert.notEqual(root, before)
    assert.equal((await keys('root')).out, root)
    assert.match(err, /Give it to every recipient/)
  })

  test('no command prints a private half', async () => {
    const { rows } = await database.db.query<{ wrapped: Buffer }>('select wrapped from keys where wrapped is not null')
    const { out } = await keys('list', '--json')
    assert.ok(rows.length >= 7)
    for (const { wrapped } of rows) assert.ok(!out.includes(wrapped.toString('base64').slice(0, 40)))
  })

  for (const command of ['list', 'rotate', 'revoke', 'destroy', 'root', 'root offline', 'root sign', 'root online']) {
    test(`keys ${command} --help teaches with an example`, async () => {
      const { code, out } = await keys(...command.split(' '), '--help')
      assert.equal(code, 0)
      assert.match(out, new RegExp(`\\$ sealwire keys ${command}`))
    })
  }
})

test('keys commands make no deployment where there is none', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'sealwire-keys-none-'))
  const none = path.join(home, 'none')
  const database = await testDatabase()
  const operator = () => import('#src/app.ts')
  try {
    for (const env of [{ DATA_DIR: none }, { DATA_DIR: none, DATABASE_URL: database.url }]) {
      const { code, out, err } = await runCli(['keys', 'rotate', 'issuer'], { env, operator })
      assert.deepEqual([code, out], [1, ''])
      assert.match(err, /^error: object\.not_found: There is no deployment in .*See: sealwire init$/)
      await assert.rejects(stat(none), { code: 'ENOENT' })
    }
    assert.deepEqual((await database.db.query('select 1 from keys')).rows, [])
  } finally {
    await database.drop()
    await rm(home, { recursive: true, force: true })
  }
})

test('keys commands say with exit code 4 that a database which is away is worth another try', async () => {
  const env = { DATA_DIR: '/nowhere', DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' }
  const { code, err } = await runCli(['keys', 'list'], { env, operator: () => import('#src/app.ts') })
  assert.deepEqual([code, err], [4, 'error: database.unavailable: The database does not answer.'])
})

describe('sealwire keys beside a running server', () => {
  test('a key that is published on the host is in the document that the server serves, within a second', async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'sealwire-keys-beside-'))
    const server = await startServerProcess({ DATA_DIR: home })
    try {
      const env = { PATH: process.env['PATH'] ?? '', DATA_DIR: home, LOG_LEVEL: 'silent' }
      const args = ['src/cli/main.ts', 'keys', 'rotate', 'issuer']
      const { stdout } = await promisify(execFile)(process.execPath, args, { env })
      const end = Date.now() + 1000
      let kids: string[] = []
      while (!kids.includes(stdout.trim())) {
        assert.ok(Date.now() < end, `the document has ${kids.join(', ')}`)
        const document = await (await fetch(`${server.url}/.well-known/sealwire-keys`)).json()
        kids = (document as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
      }
      assert.equal(kids.length, 3)
    } finally {
      server.child.kill('SIGKILL')
      await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
    }
  })
})
