import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, afterEach, describe, test } from 'node:test'
import { hashSync } from '@node-rs/bcrypt'
import { type Log, silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import type { Credentials } from '#src/identity/provider.ts'
import { createUsersFile, type UsersFile, type UsersFileDeps } from '#src/identity/users-file/create-users-file.ts'
import { UsersFileInvalid } from '#src/identity/users-file/parse-users.ts'
import type { PasswordHash } from '#src/identity/users-file/password-hash.ts'
import { createRemembered } from '#src/identity/users-file/remembered.ts'
import { fileProviderSchema } from '#src/identity/users-file/settings.ts'

const home = mkdtempSync(path.join(tmpdir(), 'sealwire-users-'))
const opened: UsersFile[] = []
afterEach(() => Promise.all(opened.splice(0).map((file) => file.close())))
after(() => rmSync(home, { recursive: true, force: true }))

let files = 0
const newPath = () => path.join(home, `users-${files++}.json`)
const never = new AbortController().signal
const PW = hashSync('pw', 4)
const OTHER = hashSync('other', 4)
const write = (file: string, ...users: object[]) => writeFileSync(file, JSON.stringify({ users }))
const ada = { username: 'ada', password_hash: PW }
const eve = { username: 'eve', password_hash: PW, enabled: false }

const ask = (username: string, password: string | Uint8Array, more: Partial<Credentials> = {}): Credentials => ({
  clientId: 'dev-1',
  username,
  password: new Secret(typeof password === 'string' ? new TextEncoder().encode(password) : password),
  ...more,
})

interface Line {
  readonly level: string
  readonly message: string
  readonly problems?: readonly string[]
}

async function open(file: string, { settings = {}, ...deps }: { settings?: object } & Partial<UsersFileDeps> = {}) {
  const lines: Line[] = []
  const say = (level: string) => (fields: object, message: string) => void lines.push({ ...fields, level, message })
  const log: Log = { ...silentLog, info: say('info'), warn: say('warn'), error: say('error') }
  const clock = { at: 1_000, now: () => Date.now(), monotonic: () => clock.at }
  const parsed = fileProviderSchema.parse({ type: 'file', path: file, ...settings })
  const users = await createUsersFile(parsed, { name: 'devices', clock, log, lookMs: 3_600_000, ...deps })
  opened.push(users)
  const tell = async (credentials: Credentials, signal = never) => {
    const verdict = await users.authenticate(credentials, signal)
    return verdict.outcome === 'success' ? 'success' : `${verdict.outcome} ${verdict.reason}`
  }
  return { users, tell, lines, clock }
}

/** Hashes that are counted and end when the test says so; a password is right when it is `pw`. */
function heldHashes() {
  const asked: { hash: PasswordHash; finish: (isRight?: boolean) => void }[] = []
  const verify = (hash: PasswordHash, password: Uint8Array) => {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const isRight = new TextDecoder().decode(password) === 'pw'
    asked.push({ hash, finish: (given = isRight) => resolve(given) })
    return promise
  }
  return { asked, verify }
}

/** The same, ended at once. */
function countedHashes() {
  const asked: PasswordHash[] = []
  const verify = async (hash: PasswordHash, password: Uint8Array) => {
    asked.push(hash)
    return new TextDecoder().decode(password) === 'pw'
  }
  return { asked, verify }
}

describe('a users file as a provider', () => {
  test('lets in the right password with the identity of the file, and says why it does not', async () => {
    const file = newPath()
    write(file, { ...ada, groups: ['sensors'], client_ids: ['dev-1'], attributes: { zone: 'a' } }, eve)
    const { users, tell } = await open(file)
    const verdict = await users.authenticate(ask('ada', 'pw', { ip: '192.0.2.7', protocol: 5 }), never)
    assert.deepEqual(verdict, {
      outcome: 'success',
      identity: {
        clientId: 'dev-1',
        ip: '192.0.2.7',
        protocol: 5,
        username: 'ada',
        sub: 'ada',
        type: 'device',
        groups: ['sensors'],
        roles: [],
        scopes: [],
        claims: { zone: 'a' },
        auth: 'basic',
      },
      grant: users.find('ada')?.grant,
    })
    assert.equal(await tell(ask('ada', 'pwd')), 'refuse wrong-password')
    assert.equal(await tell(ask('ada', '')), 'refuse wrong-password')
    assert.equal(await tell(ask('ada', 'pw', { clientId: 'dev-2' })), 'refuse client-id-invalid')
    assert.equal(await tell(ask('eve', 'pw')), 'refuse disabled')
    assert.equal(await tell(ask('eve', 'pwd')), 'refuse wrong-password')
    assert.equal(await tell(ask('bob', 'pw')), 'skip unknown-user')
    for (const name of ['ADA', 'ada ', 'ada\u0000', '__proto__', 'constructor']) {
      assert.equal(await tell(ask(name, 'pw')), 'skip unknown-user', name)
    }
  })

  test('skips who shows no name or no password', async () => {
    const file = newPath()
    write(file, ada)
    const { tell } = await open(file)
    assert.equal(await tell({ clientId: 'dev-1' }), 'skip no-credentials')
    assert.equal(await tell({ clientId: 'dev-1', username: 'ada' }), 'skip no-credentials')
    assert.equal(await tell(ask('', 'pw')), 'skip no-credentials')
  })

  test('has no password that is right for a user that has only SCRAM', async () => {
    const file = newPath()
    const salted = 'W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY='
    write(file, {
      username: 'ada',
      scram: [`SCRAM-SHA-256$4096:${salted}:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=`],
    })
    const { asked, verify } = countedHashes()
    const { tell } = await open(file, { verify })
    assert.equal(await tell(ask('ada', 'pw')), 'refuse wrong-password')
    assert.equal(asked.length, 1)
  })

  test('takes passwords as bytes: what is no UTF-8 is a password like any other', async () => {
    const file = newPath()
    const raw = new Uint8Array([0xff, 0xfe, 0x80])
    write(file, { ...ada, password_hash: hashSync(raw, 4) })
    const { tell } = await open(file)
    assert.equal(await tell(ask('ada', raw)), 'success')
    assert.equal(await tell(ask('ada', '\ufffd\ufffd\ufffd')), 'refuse wrong-password')
  })
})

describe('the same work for everybody', () => {
  test('unknown user, wrong password and disabled user cost one hash of one kind each, every time', async () => {
    const file = newPath()
    write(file, { ...ada, password_hash: hashSync('pw', 6) }, { ...eve, password_hash: hashSync('pw', 6) })
    const { asked, verify } = countedHashes()
    const { tell } = await open(file, { verify })
    for (const [name, password, verdict] of [
      ['bob', 'guess', 'skip unknown-user'],
      ['ada', 'guess', 'refuse wrong-password'],
      ['eve', 'guess', 'refuse wrong-password'],
      ['eve', 'pw', 'refuse disabled'],
      ['ada', 'pw', 'success'],
    ] as const) {
      asked.length = 0
      assert.equal(await tell(ask(name, password)), verdict)
      assert.deepEqual(
        asked.map(({ kind }) => kind),
        ['bcrypt 6'],
        `${name} ${password}`,
      )
      assert.equal(await tell(ask(name, password)), verdict, 'the same answer when it is remembered')
      assert.equal(asked.length, 1, 'and no hash for anybody then')
    }
  })

  test('a password that was tried on one unknown name costs a hash on the next', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = countedHashes()
    const { tell } = await open(file, { verify })
    for (const name of ['bob', 'carl', 'dora', 'ada']) await tell(ask(name, 'guess'))
    assert.equal(asked.length, 4)
  })

  test('also after the file was read anew: what was tried before costs no hash, be the name known or not', async () => {
    const file = newPath()
    const ofSix = { ...eve, password_hash: hashSync('pw', 6) }
    write(file, ada, ofSix)
    const { asked, verify } = countedHashes()
    const { users, tell } = await open(file, { verify })
    const names = ['ada', 'eve', 'bob', 'carl', 'dora', 'finn']
    for (const name of names) await tell(ask(name, 'guess'))
    assert.equal(asked.length, names.length)
    write(file, ada, { ...ofSix, groups: ['moved'] })
    await users.refresh()
    assert.deepEqual(users.find('eve')?.identity.groups, ['moved'])
    for (const name of names) await tell(ask(name, 'guess'))
    assert.equal(asked.length, names.length, 'else a hash would tell who is unknown')
  })

  test('a password of over 1024 bytes costs none, whoever the user is', async () => {
    const file = newPath()
    write(file, ada, eve)
    const { asked, verify } = countedHashes()
    const { tell } = await open(file, { verify })
    const long = 'x'.repeat(1_048_576)
    assert.equal(await tell(ask('ada', long)), 'refuse wrong-password')
    assert.equal(await tell(ask('eve', long)), 'refuse wrong-password')
    assert.equal(await tell(ask('bob', long)), 'skip unknown-user')
    assert.equal(asked.length, 0)
    await tell(ask('bob', 'x'.repeat(1024)))
    assert.equal(asked.length, 1)
  })
})

describe('what is remembered', () => {
  test('ends with its time, and nothing is where it is turned off', async () => {
    const file = newPath()
    write(file, ada)
    const counted = countedHashes()
    const { tell, clock } = await open(file, { verify: counted.verify, settings: { remember_s: 10 } })
    await tell(ask('ada', 'pw'))
    clock.at += 9_999
    await tell(ask('ada', 'pw'))
    assert.equal(counted.asked.length, 1)
    clock.at += 2
    assert.equal(await tell(ask('ada', 'pw')), 'success')
    assert.equal(counted.asked.length, 2)

    const off = countedHashes()
    const never = await open(file, { verify: off.verify, settings: { remember_s: 0 } })
    for (let i = 0; i < 3; i++) await never.tell(ask('ada', 'pw'))
    assert.equal(off.asked.length, 3)
  })

  test('is not pushed out by any number of wrong passwords, of which the oldest go', () => {
    const remembered = createRemembered({ forMs: 1_000, now: () => 0 })
    remembered.set('right', true)
    for (let i = 0; i < 11_000; i++) remembered.set(`wrong ${i}`, false)
    assert.equal(remembered.get('right'), true)
    assert.equal(remembered.get('wrong 0'), undefined)
    assert.equal(remembered.get('wrong 10999'), false)
  })

  test('does not outlive the password: the old one is wrong and the new one right as soon as the file is read', async () => {
    const file = newPath()
    write(file, ada)
    const { users, tell } = await open(file)
    assert.equal(await tell(ask('ada', 'pw')), 'success')
    assert.equal(await tell(ask('ada', 'other')), 'refuse wrong-password')
    write(file, { ...ada, password_hash: OTHER })
    await users.refresh()
    assert.equal(await tell(ask('ada', 'pw')), 'refuse wrong-password')
    assert.equal(await tell(ask('ada', 'other')), 'success')
    write(file, { ...ada, password_hash: OTHER, enabled: false })
    await users.refresh()
    assert.equal(await tell(ask('ada', 'other')), 'refuse disabled')
  })
})

describe('hashing under load', () => {
  const settings = { hashing: { parallel: 2, waiting: 2 } }

  test('is for so many at once, so many wait, and the rest is unavailable without having waited', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings })
    const answers = ['a', 'b', 'c', 'd'].map((name) => tell(ask(name, 'pw')))
    assert.equal(asked.length, 2)
    assert.equal(
      await tell(ask('e', 'pw')),
      'refuse unavailable',
      'also for a name that nobody has: nobody else decides',
    )
    asked[0]?.finish()
    await answers[0]
    assert.equal(asked.length, 3)
    for (let i = 1; i < 4; i++) {
      asked[i]?.finish()
      await answers[i]
    }
    assert.equal(asked.length, 4)
    assert.deepEqual(await Promise.all(answers), Array(4).fill('skip unknown-user'))
    const later = tell(ask('e', 'pw'))
    asked[4]?.finish()
    assert.equal(await later, 'skip unknown-user')
  })

  test('is not taken by one address alone', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings: { hashing: { parallel: 1, waiting: 5 } } })
    const flood = Array.from({ length: 50 }, (_, i) => tell(ask(`user-${i}`, 'x', { ip: '198.51.100.1' })))
    const good = tell(ask('ada', 'pw', { ip: '192.0.2.7' }))
    for (let i = 0; i < 6; i++) {
      asked[i]?.finish()
      await new Promise(setImmediate)
    }
    assert.equal(await good, 'success')
    const told = await Promise.all(flood)
    assert.equal(told.filter((one) => one === 'skip unknown-user').length, asked.length - 1)
    assert.ok(told.includes('refuse unavailable'))
  })

  test('is not taken by one IPv6 network, whose holder has any number of addresses', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings: { hashing: { parallel: 1, waiting: 5 } } })
    const flood = Array.from({ length: 50 }, (_, i) => tell(ask(`user-${i}`, 'x', { ip: `2001:db8::${i + 1}` })))
    const good = tell(ask('ada', 'pw', { ip: '2001:db8:0:1::1' }))
    for (let i = 0; i < 6; i++) {
      asked[i]?.finish()
      await new Promise(setImmediate)
    }
    assert.equal(await good, 'success')
    assert.ok((await Promise.all(flood)).includes('refuse unavailable'))
  })

  test('that has begun goes on for a client that nobody waits for any more, which finds its answer when it comes again', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings })
    const ending = new AbortController()
    const first = tell(ask('ada', 'pw'), ending.signal)
    ending.abort()
    assert.equal(await first, 'refuse unavailable')
    asked[0]?.finish()
    await new Promise(setImmediate)
    assert.equal(await tell(ask('ada', 'pw')), 'success')
    assert.equal(asked.length, 1)
  })

  test('that has not begun never does then, and gives its place back', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings })
    const ending = new AbortController()
    const running = [tell(ask('a', 'x')), tell(ask('b', 'x'))]
    const waiting = [tell(ask('c', 'x'), ending.signal), tell(ask('d', 'x'), ending.signal)]
    ending.abort()
    assert.deepEqual(await Promise.all(waiting), ['refuse unavailable', 'refuse unavailable'])
    assert.equal(await tell(ask('e', 'x'), ending.signal), 'refuse unavailable')
    const next = tell(ask('f', 'x'))
    for (let i = 0; i < 3; i++) {
      asked[i]?.finish()
      await new Promise(setImmediate)
    }
    await Promise.all([...running, next])
    assert.equal(asked.length, 3)
  })

  test('that fails refuses with `unavailable`, is told, and is tried again', async () => {
    const file = newPath()
    write(file, ada)
    let fails = true
    const verify = () => (fails ? Promise.reject(new Error('no memory')) : Promise.resolve(true))
    const { tell, lines } = await open(file, { verify })
    assert.equal(await tell(ask('ada', 'pw')), 'refuse unavailable')
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['error'],
    )
    fails = false
    assert.equal(await tell(ask('ada', 'pw')), 'success')
  })

  test('of a client that asks twice is done once', async () => {
    const file = newPath()
    write(file, ada)
    const { asked, verify } = heldHashes()
    const { tell } = await open(file, { verify, settings: { hashing: { parallel: 1, waiting: 4 } } })
    const both = [tell(ask('ada', 'pw', { ip: '192.0.2.1' })), tell(ask('ada', 'pw', { ip: '192.0.2.2' }))]
    asked[0]?.finish()
    assert.deepEqual(await Promise.all(both), ['success', 'success'])
    assert.equal(asked.length, 1)
  })
})

describe('a users file that changes', () => {
  test('while a password is hashed is judged as it is afterwards', async () => {
    const file = newPath()
    write(file, ada, { ...ada, username: 'bob' }, { ...ada, username: 'carl' })
    const { asked, verify } = heldHashes()
    const { users, tell } = await open(file, { verify, settings: { hashing: { parallel: 3 } } })
    const answers = ['ada', 'bob', 'carl'].map((name) => tell(ask(name, 'pw')))
    write(file, { ...ada, enabled: false }, { ...ada, username: 'bob', password_hash: OTHER })
    await users.refresh()
    for (const { finish } of asked) finish()
    assert.deepEqual(await Promise.all(answers), ['refuse disabled', 'refuse unavailable', 'skip unknown-user'])
  })

  test('ends every grant whose record it changes, and no other', async () => {
    const file = newPath()
    const people = ['a', 'b', 'c', 'd', 'e'].map((username) => ({ ...ada, username }))
    write(file, ...people)
    const { users } = await open(file)
    const grants = people.map(({ username }) => users.find(username)?.grant ?? '')
    assert.deepEqual(grants.map(users.holds), [true, true, true, true, true])
    const [a, b, c, , e] = people
    write(
      file,
      { ...e, enabled: true },
      { ...a, enabled: false },
      { ...b, password_hash: OTHER },
      { ...c, groups: ['admins'] },
    )
    await users.refresh()
    assert.deepEqual(grants.map(users.holds), [false, false, false, false, true])
    write(file, ...people)
    await users.refresh()
    assert.deepEqual(grants.map(users.holds), [true, true, true, true, true])
    for (const strange of ['', '.', 'a', `${grants[0]}x`, `x${grants[0]}`, '__proto__', '.__proto__', `.${'a'}`]) {
      assert.equal(users.holds(strange), false, strange)
    }
  })

  const instead = (make: (file: string) => unknown) => (file: string) => {
    unlinkSync(file)
    make(file)
  }
  const broken: readonly [why: string, harm: (file: string) => void, told: RegExp][] = [
    [
      'half written',
      (file) => writeFileSync(file, JSON.stringify({ users: [ada, eve] }).slice(0, 60)),
      /unterminated|not JSON/,
    ],
    ['emptied', (file) => writeFileSync(file, ''), /not JSON/],
    ['invalid in one user', (file) => write(file, ada, { ...eve, enabled: 'no' }), /^users\[1\]\.enabled: /],
    ['gone', unlinkSync, /cannot be read: ENOENT/],
    ['a folder', instead((file) => mkdirSync(file)), /is not a file/],
    ['a pipe', instead((file) => execFileSync('mkfifo', [file])), /is not a file/],
    ['a link that leads nowhere', instead((file) => symlinkSync(`${file}.none`, file)), /ENOENT/],
    ['a link that leads to itself', instead((file) => symlinkSync(file, file)), /ELOOP/],
  ]
  for (const [why, harm, told] of broken) {
    test(`and is then ${why} keeps the users from before, says so once a minute, and is taken when it is good again`, async () => {
      const file = newPath()
      write(file, ada)
      const { users, tell, lines, clock } = await open(file)
      harm(file)
      for (let i = 0; i < 3; i++) await users.refresh()
      assert.deepEqual(
        lines.map(({ level }) => level),
        ['error'],
      )
      assert.match(lines[0]?.problems?.[0] ?? '', told)
      assert.equal(await tell(ask('ada', 'pw')), 'success')
      clock.at += 60_000
      await users.refresh()
      assert.equal(lines.length, 2)
      assert.match(lines[1]?.problems?.[0] ?? '', told)

      rmSync(file, { recursive: true, force: true })
      write(file, { ...ada, password_hash: OTHER })
      await users.refresh()
      assert.equal(lines.at(-1)?.level, 'info')
      assert.equal(await tell(ask('ada', 'pw')), 'refuse wrong-password')
      assert.equal(await tell(ask('ada', 'other')), 'success')
    })
  }

  test('twice within one tick of its clock and without another size is seen', async () => {
    const file = newPath()
    write(file, { ...ada, enabled: true, org: 'acme1' })
    const { users } = await open(file)
    for (const org of ['acme2', 'acme3', 'acme4', 'acme5']) {
      write(file, { ...ada, enabled: true, org })
      await users.refresh()
      assert.equal(users.find('ada')?.identity.org, org)
    }
  })

  /** A file system whose files look the same whatever is in them. */
  function blindFiles() {
    const held = { content: '', reads: 0, fails: false }
    const look = { stamp: 'always', isInFolder: true }
    const files = {
      lookAtFile: async () => look,
      readUsersFile: async () => {
        held.reads++
        if (held.fails) throw new Error('no thread')
        return { ...look, bytes: new TextEncoder().encode(held.content), digest: held.content }
      },
    }
    return { files, held }
  }
  const saying = (org: string) => JSON.stringify({ users: [{ ...ada, org }] })

  test('within one tick of the clock of its file system, whatever that says, is seen', async () => {
    const { files, held } = blindFiles()
    held.content = saying('one')
    const { users, clock } = await open('/blind', { files })
    for (const [org, afterMs] of [
      ['two', 0],
      ['three', 2_499],
      ['four', 1],
    ] as const) {
      held.content = saying(org)
      clock.at += afterMs
      await users.refresh()
      assert.equal(users.find('ada')?.identity.org, org)
    }
    const { reads } = held
    await users.refresh()
    assert.equal(held.reads, reads, 'one that has been the same for long is not read again')
  })

  test('cannot be read for another reason than its own is told once a minute and read again at once', async () => {
    const { files, held } = blindFiles()
    held.content = saying('one')
    const { users, lines } = await open('/blind', { files })
    Object.assign(held, { content: saying('two'), fails: true })
    for (let i = 0; i < 3; i++) await users.refresh()
    assert.deepEqual(
      lines.map(({ level, problems }) => [level, problems]),
      [['error', ['cannot be read now']]],
    )
    held.fails = false
    await users.refresh()
    assert.equal(users.find('ada')?.identity.org, 'two')
  })

  test('on a file system that does not answer is told', async (t) => {
    const { files, held } = blindFiles()
    held.content = saying('one')
    const { users, lines } = await open('/blind', { files })
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const answer = Promise.withResolvers<{ stamp: string; isInFolder: boolean }>()
    files.lookAtFile = () => answer.promise
    const looking = users.refresh()
    await new Promise(setImmediate)
    t.mock.timers.tick(10_000)
    assert.match(lines[0]?.problems?.[0] ?? '', /takes very long/)
    answer.resolve({ stamp: 'new', isInFolder: true })
    await looking
    assert.equal(lines.at(-1)?.level, 'info')
  })

  test('behind a mount of the file alone, which goes on showing the one that was replaced, is told', async () => {
    const file = newPath()
    write(file, ada)
    const held = openSync(file, 'r')
    after(() => closeSync(held))
    const { users, lines } = await open(`/proc/self/fd/${held}`) // leads to the file itself, whatever becomes of its name
    unlinkSync(file)
    write(file, { ...ada, enabled: false })
    await users.refresh()
    assert.match(lines[0]?.problems?.[0] ?? '', /was replaced or deleted, .* mount the folder/)
    assert.equal(lines[0]?.level, 'error')
  })

  test('by the swap of a link, as volumes of Kubernetes do it, is the new one as a whole', async () => {
    const volume = path.join(home, 'volume')
    const fill = (name: string, ...users: object[]) => {
      mkdirSync(path.join(volume, name), { recursive: true })
      write(path.join(volume, name, 'users.json'), ...users)
      symlinkSync(name, path.join(volume, '..data_tmp'))
      renameSync(path.join(volume, '..data_tmp'), path.join(volume, '..data'))
    }
    fill('..2026_1', ada)
    symlinkSync('..data/users.json', path.join(volume, 'users.json'))
    const { users, tell } = await open(path.join(volume, 'users.json'))
    assert.equal(await tell(ask('ada', 'pw')), 'success')
    fill('..2026_2', eve)
    rmSync(path.join(volume, '..2026_1'), { recursive: true })
    await users.refresh()
    assert.equal(await tell(ask('ada', 'pw')), 'skip unknown-user')
    assert.equal(users.find('eve')?.enabled, false)
  })

  test('is seen by itself within two seconds', async () => {
    const file = newPath()
    write(file, ada)
    const taken = Promise.withResolvers<void>()
    const log: Log = { ...silentLog, info: () => taken.resolve() }
    const { users } = await open(file, { log, lookMs: 500 })
    const grant = users.find('ada')?.grant ?? ''
    const began = performance.now()
    write(file, { ...ada, enabled: false })
    const alive = setInterval(() => {}, 1_000) // the timer of the file does not keep the process
    await taken.promise
    clearInterval(alive)
    assert.equal(users.holds(grant), false)
    assert.ok(performance.now() - began < 2_000)
  })
})

describe('at the start', () => {
  test('a file that is missing or invalid is no provider', async () => {
    const file = newPath()
    await assert.rejects(open(file), (err) => err instanceof UsersFileInvalid && /ENOENT/.test(err.message))
    writeFileSync(file, '{"users":[{}]}')
    await assert.rejects(open(file), UsersFileInvalid)
  })

  test('one that is too long is refused before it is read', async () => {
    const file = newPath()
    writeFileSync(file, '')
    execFileSync('truncate', ['-s', '1T', file])
    await assert.rejects(open(file), /is longer than 67108864 bytes/)
  })

  test('thousands of users are read beside the event loop, and one of them is found', async () => {
    const file = newPath()
    const users = Array.from({ length: 10_000 }, (_, i) => ({
      ...ada,
      username: `device-${i}`,
      groups: ['sensors', `g${i}`],
    }))
    write(file, ...users)
    let beats = 0
    const beat = setInterval(() => beats++, 1)
    const began = process.cpuUsage()
    const beganHere = process.threadCpuUsage()
    const { users: opened, tell } = await open(file)
    clearInterval(beat)
    const here = process.threadCpuUsage(beganHere).user
    const all = process.cpuUsage(began).user
    assert.equal(await tell(ask('device-9999', 'pw')), 'success')
    assert.deepEqual(opened.find('device-7')?.identity.groups, ['sensors', 'g7'])
    assert.ok(beats > 10, `the event loop went round ${beats} times meanwhile`)
    assert.ok(here < all / 2, `${here} of ${all} µs of work were done in the thread that answers`)
  })

  test('faults in a large file are told with their places as well', async () => {
    const file = newPath()
    const users = Array.from({ length: 800 }, (_, i) => ({ ...ada, username: `device-${i}` }))
    write(file, ...users, { ...ada, username: 'device-7' })
    await assert.rejects(open(file), /^UsersFileInvalid: users: "device-7" is there twice$/)
  })
})
