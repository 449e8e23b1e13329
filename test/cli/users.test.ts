import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import type { Operator } from '#src/cli/operator.ts'
import * as usersFile from '#src/identity/users-file/edit-users-file.ts'
import { parseUsers } from '#src/identity/users-file/parse-users.ts'
import { verifyPassword } from '#src/identity/users-file/password-hash.ts'
import { runCli } from '#test/support/cli.ts'

const home = mkdtempSync(path.join(tmpdir(), 'sealwire-cli-users-'))
after(() => rmSync(home, { recursive: true, force: true }))

const HASH = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const bytes = (text: string) => new TextEncoder().encode(text)
const users = (args: readonly string[], stdin = '', operator: object = { usersFile }) =>
  runCli(['users', ...args], { operator: async () => operator as Operator, stdin: bytes(stdin) })

let files = 0
function fileOf(content?: object | string): string {
  const file = path.join(home, `${files++}`, 'users.json')
  const folder = path.dirname(file)
  mkdirSync(folder, { recursive: true })
  if (content !== undefined) writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}
const read = (file: string) => new Map(parseUsers(readFileSync(file, 'utf8')).map((user) => [user.username, user]))
/** Nothing but the file is left in its folder. */
const assertClean = (file: string) => assert.deepEqual(readdirSync(path.dirname(file)), ['users.json'])

describe('sealwire users set', () => {
  test('makes the file for its owner alone, and the password that it printed is the right one', async () => {
    const file = fileOf()
    const made = await users(['set', file, 'sensor-1', '--generate', '--group', 'sensors', '--group', 'hall'])
    assert.equal(made.code, 0, made.err)
    assert.match(made.out, /^[\w-]{32}$/)
    assert.match(made.err, /"sensor-1" is added; .* has 1 user\.$/)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assertClean(file)
    const user = read(file).get('sensor-1')
    assert.deepEqual(user?.identity.groups, ['sensors', 'hall'])
    assert.equal(user?.passwordHash?.kind, 'argon2id m=19456,t=2,p=1')
    assert.equal(await verifyPassword(user.passwordHash, bytes(made.out)), true)
    assert.doesNotMatch(readFileSync(file, 'utf8'), new RegExp(made.out))
  })

  test('reads the password from standard input or a file, without its line break, and never shows it', async () => {
    const file = fileOf()
    const kept = path.join(path.dirname(file), '..', 'password')
    writeFileSync(kept, 'from a file\r\n')
    for (const [name, args, stdin, password] of [
      ['a', ['-'], 'from the input\n', 'from the input'],
      ['b', [kept], '', 'from a file'],
    ] as const) {
      const told = await users(['set', file, name, '--password-file', ...args], stdin)
      assert.equal(told.code, 0, told.err)
      assert.doesNotMatch(`${told.out}${told.err}`, /from a|from the/)
      const hash = read(file).get(name)?.passwordHash
      assert.ok(hash && (await verifyPassword(hash, bytes(password))))
    }
  })

  test('changes only what is named, and leaves the others as they are', async () => {
    const more = { groups: ['a'], roles: ['r'], client_ids: ['c'], attributes: { zone: 'a' } }
    const file = fileOf({
      users: [
        { username: 'x', password_hash: HASH, ...more },
        { username: 'y', password_hash: HASH },
      ],
    })
    assert.equal((await users(['set', file, 'x', '--group', 'b', '--type', 'service'])).code, 0)
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), {
      users: [
        { username: 'x', password_hash: HASH, ...more, groups: ['b'], type: 'service' },
        { username: 'y', password_hash: HASH },
      ],
    })
    assert.equal((await users(['set', file, 'x', '--group', '', '--client-id', ''])).code, 0)
    const { groups, client_ids: clientIds, roles } = JSON.parse(readFileSync(file, 'utf8')).users[0]
    assert.deepEqual([groups, clientIds, roles], [[], undefined, ['r']])
    for (const args of [
      ['set', file, 'y'],
      ['set', file, 'x', '--group', ''],
      ['enable', file, 'y'],
    ]) {
      assert.match((await users(args)).err, /is as it was/, args.join(' '))
    }
    assert.match((await users(['disable', file, 'y'])).err, /"y" is changed/)
    assert.match((await users(['disable', file, 'y'])).err, /"y" is as it was/)
    assert.match((await users(['set', file, 'y', '--group', 'a'])).err, /"y" is disabled; .* users enable/)
    assertClean(file)
  })

  test('keeps the form of a file whose users are members, whatever their names', async () => {
    const file = fileOf({ users: { 'sensor-001': { password_hash: HASH, groups: ['sensors'] } } })
    assert.equal((await users(['set', file, '__proto__', '--generate'])).code, 0)
    assert.equal((await users(['disable', file, 'sensor-001'])).code, 0)
    assert.deepEqual([...read(file).keys()], ['sensor-001', '__proto__'])
    assert.equal(read(file).get('sensor-001')?.enabled, false)
  })

  test('gives SCRAM keys with --scram, new ones with every password, and none with --no-scram', async () => {
    const file = fileOf()
    await users(['set', file, 'x', '--password-file', '-', '--scram'], 'first password')
    const first = read(file).get('x')?.scram ?? []
    assert.deepEqual(
      first.map(({ method }) => method),
      ['SCRAM-SHA-256', 'SCRAM-SHA-512'],
    )
    await users(['set', file, 'x', '--password-file', '-'], 'second password')
    const second = read(file).get('x')?.scram ?? []
    assert.equal(second.length, 2)
    assert.notDeepEqual(second[0]?.storedKey, first[0]?.storedKey, 'the old password would have stayed good')
    await users(['set', file, 'x', '--group', 'a'])
    assert.deepEqual(read(file).get('x')?.scram, second)
    assert.match((await users(['set', file, 'x', '--group', 'a'])).err, /is as it was/)
    await users(['set', file, 'x', '--no-scram'])
    assert.deepEqual(read(file).get('x')?.scram, [])
    const late = await users(['set', file, 'x', '--scram'])
    assert.equal(late.code, 2)
    assert.match(late.err, /--scram needs the password/)
  })

  test('refuses what would not do, and leaves the file as it is', async () => {
    const file = fileOf({ users: [{ username: 'x', password_hash: HASH }] })
    const text = readFileSync(file, 'utf8')
    const cases: readonly [args: string[], stdin: string, code: number, told: RegExp][] = [
      [['set', file, 'new'], '', 2, /needs --password-file or --generate/],
      [['set', file, 'new', '--generate', '--password-file', '-'], 'x', 2, /not both/],
      [['set', file, 'new', '--password-file', '-'], '\n', 2, /is empty/],
      [['set', file, 'new', '--password-file', '-'], 'x'.repeat(1025), 2, /over 1024 bytes/],
      [['set', file, 'new', '--password-file', path.join(home, 'none')], '', 2, /no such file/],
      [['set', file, '', '--generate'], '', 1, /must not be empty/],
      [['set', file, 'e\u0301', '--generate'], '', 1, /Unicode form NFC/],
      [['set', file, 'new', '--generate', '--group', 'x'.repeat(257)], '', 1, /groups/],
      [['set', file, 'new', '--generate', '--type', 'anonymous'], '', 2, /Allowed choices/],
      [['set', file, 'new', '--password-file', '-', '--scram'], 'tab\u0007bell', 1, /SCRAM cannot use this password/],
      [['disable', file, 'nobody'], '', 2, /no user "nobody"/],
      [['remove', file, 'nobody'], '', 2, /no user "nobody"/],
      [['set', path.join(home, 'none', 'users.json'), 'new', '--generate'], '', 1, /cannot be made: ENOENT/],
    ]
    for (const [args, stdin, code, told] of cases) {
      const answer = await users(args, stdin)
      assert.equal(answer.code, code, `${args.join(' ')}: ${answer.err}`)
      assert.match(answer.err, told)
      assert.equal(readFileSync(file, 'utf8'), text)
      assertClean(file)
    }
  })

  test('does not touch a file that is invalid already', async () => {
    const file = fileOf('{"users":[{"username":"x"}]}')
    const answer = await users(['set', file, 'new', '--generate'])
    assert.equal(answer.code, 1)
    assert.equal(answer.err, `error: ${file}: users[0]: must have \`password_hash\` or \`scram\``)
    assert.equal(answer.out, '')
    assert.equal(readFileSync(file, 'utf8'), '{"users":[{"username":"x"}]}')
    assertClean(file)
  })

  test('warns of a password that is short', async () => {
    const file = fileOf()
    const answer = await users(['set', file, 'x', '--password-file', '-'], 'short')
    assert.equal(answer.code, 0)
    assert.match(answer.err, /warning: a password of under 8 bytes/)
  })
})

describe('sealwire users', () => {
  test('disable, enable and remove do what they say', async () => {
    const file = fileOf({
      users: [
        { username: 'x', password_hash: HASH },
        { username: 'y', password_hash: HASH },
      ],
    })
    await users(['disable', file, 'x'])
    assert.equal(read(file).get('x')?.enabled, false)
    await users(['enable', file, 'x'])
    assert.equal(read(file).get('x')?.enabled, true)
    const removed = await users(['remove', file, 'x'])
    assert.match(removed.err, /"x" is removed; .* has 1 user\.$/)
    assert.deepEqual([...read(file).keys()], ['y'])
  })

  test('write through a link to the file that it means, and take the right to read from others', async () => {
    const file = fileOf({ users: [{ username: 'x', password_hash: HASH }] })
    chmodSync(file, 0o644)
    const link = path.join(home, 'link.json')
    symlinkSync(file, link)
    const answer = await users(['disable', link, 'x'])
    assert.match(answer.err, /Others could read the file/)
    assert.equal(statSync(file).mode & 0o777, 0o640)
    assert.equal(read(file).get('x')?.enabled, false)
    assert.ok(readdirSync(home).includes('link.json'))
    assertClean(file)
  })

  test('edit one file one after the other, and lose nothing', async () => {
    const file = fileOf()
    const names = Array.from({ length: 6 }, (_, i) => `sensor-${i}`)
    const answers = await Promise.all(names.map((name) => users(['set', file, name, '--generate'])))
    for (const { code, err } of answers) assert.equal(code, 0, err)
    assert.deepEqual([...read(file).keys()].sort(), names)
    assertClean(file)
  })

  test('leave what an interrupted edit left, and say what to do with it', async () => {
    const file = fileOf({ users: [{ username: 'x', password_hash: HASH }] })
    writeFileSync(`${file}.new`, '{"users":[')
    const { editUsersFile } = usersFile
    const hasty = {
      ...usersFile,
      editUsersFile: (...args: Parameters<typeof editUsersFile>) => editUsersFile(args[0], args[1], args[2], 100),
    }
    const answer = await users(['set', file, 'y', '--generate'], '', { usersFile: hasty })
    assert.equal(answer.code, 1)
    assert.equal(answer.out, '', 'no password that is not kept')
    assert.match(answer.err, /somebody else is editing the file, or .* delete it$/)
    assert.ok(existsSync(`${file}.new`), 'may be somebody else’s')
    assert.deepEqual([...read(file).keys()], ['x'])
  })

  test('say which file is wrong, and where it stops being JSON', async () => {
    const file = fileOf('{"users":[\n  {"username":"x",}]}')
    const none = path.join(home, 'none.json')
    const cases: readonly [file: string, told: string][] = [
      [file, `error: ${file}:2:19: not JSON: expected the name of a member in double quotes`],
      [none, `error: ${none}: cannot be read: ENOENT`],
      [home, `error: ${home}: is not a file`],
      [fileOf(''), 'not JSON: the text ends here'],
    ]
    for (const [wrong, told] of cases) {
      const answer = await users(['check', wrong])
      assert.equal(answer.code, 1)
      assert.ok(answer.err.includes(told), answer.err)
    }
    assert.equal((await users(['set', file, 'x', '--generate'])).err, cases[0]?.[1])
    assert.equal((await users(['set', home, 'x', '--generate'])).err, cases[2]?.[1])
  })

  test('check says what a server would make of a file, and what is weak', async () => {
    const strong = {
      ...(await usersFile.passwordMember(bytes('password'))),
      ...(await usersFile.scramMember(bytes('password'))),
    }
    const file = fileOf({
      users: [
        { username: 'x', password_hash: HASH },
        { username: 'y', ...strong, enabled: false },
      ],
    })
    chmodSync(file, 0o604)
    const told = await users(['check', file])
    assert.equal(told.code, 0)
    assert.match(told.out, /users\.json: 2 users, 1 disabled, 1 with SCRAM/)
    for (const warning of [/1 user with a hash that is cheap/, /several costs/, /everybody on this host/])
      assert.match(told.err, warning)
    const json = await users(['check', file, '--json'])
    assert.deepEqual(JSON.parse(json.out), {
      users: 2,
      disabled: 1,
      scram: 1,
      hashes: { 'bcrypt 5': 1, 'argon2id m=19456,t=2,p=1': 1 },
      weak: 1,
      open_to_others: true,
    })

    const bad = await users(['check', fileOf('{"users":[{"username":"x","enabled":"no"}]}')])
    assert.equal(bad.code, 1)
    assert.match(bad.err, /users\[0\]\.enabled: /)
  })
})
