import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeUsers, MAX_USERS, parseUsers, UsersFileInvalid } from '#src/identity/users-file/parse-users.ts'

const HASH = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const SCRAM = `SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=`

function problemsOf(text: string): readonly string[] {
  try {
    parseUsers(text)
  } catch (err) {
    assert.ok(err instanceof UsersFileInvalid, String(err))
    return err.problems
  }
  return []
}
const listed = (...users: object[]) => JSON.stringify({ users })
const ada = { username: 'ada', password_hash: HASH }

describe('a users file', () => {
  test('is a list of records with names, and what is left out has its default', () => {
    const [user, ...others] = parseUsers(listed(ada))
    assert.equal(others.length, 0)
    assert.partialDeepStrictEqual(user, {
      username: 'ada',
      enabled: true,
      passwordHash: { text: HASH, kind: 'bcrypt 5' },
      scram: [],
      identity: { username: 'ada', sub: 'ada', type: 'device', groups: [], roles: [], scopes: [] },
    })
  })

  test('or an object named after the users, as the credential file of the MQTT agent documents', () => {
    const text = JSON.stringify({
      users: {
        'sensor-001': {
          password_hash: HASH,
          groups: ['sensors', 'zone-a'],
          enabled: true,
          attributes: { zone: 'a', n: 3 },
        },
        disabled: { password_hash: HASH, enabled: false },
      },
    })
    assert.partialDeepStrictEqual(parseUsers(text), [
      {
        username: 'sensor-001',
        enabled: true,
        identity: { username: 'sensor-001', groups: ['sensors', 'zone-a'], claims: { zone: 'a', n: 3 } },
      },
      { username: 'disabled', enabled: false },
    ])
  })

  test('takes everything that an identity can be told of', () => {
    const full = {
      ...ada,
      scram: [SCRAM],
      groups: ['g'],
      roles: ['r'],
      scopes: ['mqtt.read'],
      type: 'service',
      org: 'acme',
      client_ids: ['dev-1'],
    }
    assert.partialDeepStrictEqual(parseUsers(listed(full)), [
      {
        clientIds: ['dev-1'],
        scram: [{ method: 'SCRAM-SHA-256', iterations: 4096 }],
        identity: { type: 'service', org: 'acme', groups: ['g'], roles: ['r'], scopes: ['mqtt.read'] },
      },
    ])
  })

  test('may have a name that SASLprep would write otherwise, as long as it has no SCRAM', () => {
    assert.equal(parseUsers(listed({ ...ada, username: '\ufb01lter' }))[0]?.username, '\ufb01lter')
    assert.equal(parseUsers(listed({ username: 'ger\u00e4t', scram: [SCRAM] }))[0]?.scram.length, 1)
  })

  const bad: readonly [why: string, text: string, told: RegExp][] = [
    ['empty', '', /not JSON/],
    ['no JSON', 'users:\n  - ada', /not JSON/],
    ['half written', listed(ada).slice(0, -3), /./],
    ['a list', '[]', /must be an object/],
    ['without users', '{}', /^users: must be a list or an object$/],
    ['users of another kind', '{"users":"ada"}', /^users: must be/],
    ['users null', '{"users":null}', /^users: must be/],
    ['an unknown member beside users', `{"users":[],"user":[]}`, /^"user": there is no such member$/],
    ['an unknown member of a user', listed({ ...ada, passwrd: 'x' }), /^users\[0\]: .*passwrd/],
    [
      'a member twice',
      `{"users":[{"username":"a","password_hash":"${HASH}","enabled":false,"enabled":true}]}`,
      /"enabled" occurs twice/,
    ],
    ['users twice', `{"users":[],"users":[]}`, /"users" occurs twice/],
    ['a user twice', listed(ada, { ...ada, enabled: false }), /^users: "ada" is there twice$/],
    [
      'a named user twice',
      `{"users":{"a":{"password_hash":"${HASH}"},"a":{"password_hash":"${HASH}"}}}`,
      /"a" occurs twice/,
    ],
    [
      'a user twice, once with an escape',
      `{"users":{"a":{"password_hash":"${HASH}"},"\\u0061":{"password_hash":"${HASH}"}}}`,
      /"a" occurs twice/,
    ],
    ['no credential', listed({ username: 'ada' }), /^users\[0\]: must have `password_hash` or `scram`$/],
    ['a plain password', listed({ username: 'ada', password: 'x' }), /password/],
    [
      'a hash of another kind',
      listed({ username: 'ada', password_hash: '$1$x$y' }),
      /^users\[0\]\.password_hash: must be bcrypt/,
    ],
    ['enabled as text', listed({ ...ada, enabled: 'false' }), /^users\[0\]\.enabled: /],
    ['enabled null', listed({ ...ada, enabled: null }), /^users\[0\]\.enabled: /],
    ['groups as text', listed({ ...ada, groups: 'admins' }), /^users\[0\]\.groups: /],
    ['a group that is no text', listed({ ...ada, groups: ['a', 1] }), /^users\[0\]\.groups\[1\]: /],
    ['an unknown type', listed({ ...ada, type: 'anonymous' }), /^users\[0\]\.type: /],
    ['an empty name', listed({ ...ada, username: '' }), /^users\[0\]\.username: must not be empty/],
    ['a name with a control character', listed({ ...ada, username: 'a\u0000' }), /control characters/],
    ['half a character', `{"users":[{"username":"\\ud800","password_hash":"${HASH}"}]}`, /control characters/],
    ['a name that is too long', listed({ ...ada, username: 'x'.repeat(201) }), /at most 200/],
    ['a name in another Unicode form', listed({ ...ada, username: 'e\u0301' }), /Unicode form NFC/],
    ['a named user without its record', '{"users":{"ada":null}}', /^users\["ada"\]: /],
    ['a named user that has a name', JSON.stringify({ users: { ada } }), /^users\["ada"\]: .*username/],
    ['no client id', listed({ ...ada, client_ids: [] }), /^users\[0\]\.client_ids: /],
    ['an attribute that is a list', listed({ ...ada, attributes: { a: [] } }), /^users\[0\]\.attributes\.a: /],
    [
      'an attribute that is no name',
      `{"users":[{"username":"a","password_hash":"${HASH}","attributes":{"__proto__":1}}]}`,
      /^users\[0\]\.attributes: "__proto__"/,
    ],
    [
      'a member that is no name',
      `{"users":[{"username":"a","password_hash":"${HASH}","__proto__":{"enabled":true}}]}`,
      /^users\[0\]: .*__proto__/,
    ],
    ['a SCRAM verifier that is a password', listed({ ...ada, scram: ['password'] }), /^users\[0\]\.scram\[0\]: /],
    [
      'SCRAM for a name that its clients send in another spelling (RFC 4013)',
      listed({ username: '\ufb01lter-\uff11', scram: [SCRAM] }),
      /^users\[0\]\.username: .*SASLprep/,
    ],
    [
      'the same in the other form',
      JSON.stringify({ users: { 'so\u00adft': { scram: [SCRAM] } } }),
      /^users\["so\u00adft"\]\.username: .*SASLprep/,
    ],
    ['deep nesting', `{"users":${'['.repeat(20)}${']'.repeat(20)}}`, /nested deeper than 8/],
  ]
  for (const [why, text, told] of bad) {
    test(`with ${why} is refused with its place`, () => {
      const problems = problemsOf(text)
      assert.ok(problems.length > 0, 'was taken')
      assert.match(problems[0] ?? '', told)
      assert.doesNotMatch(problems.join(), /\$2a\$05|\$1\$x/)
    })
  }

  test('tells of several faults at once, and never of more than twenty', () => {
    const two = problemsOf(listed({ ...ada, enabled: 1 }, ada, { username: 'b' }))
    assert.deepEqual(
      two.map((line) => line.split(':')[0]),
      ['users[0].enabled', 'users[2]'],
    )
    assert.equal(problemsOf(listed(...Array.from({ length: 500 }, () => ({ bad: 1 })))).length, 20)
  })

  test('that is cut short anywhere is no users file', () => {
    const text = listed(ada, { ...ada, username: 'bob', enabled: false }).trim()
    for (let length = 0; length < text.length; length++) {
      assert.ok(problemsOf(text.slice(0, length)).length > 0, `${length} of ${text.length} characters`)
    }
    assert.deepEqual(problemsOf(text), [])
  })

  test('knows users whose names mean something to JavaScript', () => {
    const names = ['__proto__', 'constructor', 'toString']
    const byList = parseUsers(
      `{"users":[${names.map((name) => `{"username":"${name}","password_hash":"${HASH}"}`).join()}]}`,
    )
    const byName = parseUsers(`{"users":{${names.map((name) => `"${name}":{"password_hash":"${HASH}"}`).join()}}}`)
    for (const users of [byList, byName])
      assert.deepEqual(
        users.map(({ username }) => username),
        names,
      )
  })

  test('must be UTF-8, and may have a byte order mark', () => {
    assert.throws(() => decodeUsers(new Uint8Array([0x7b, 0xff, 0x7d])), /is not UTF-8/)
    assert.equal(decodeUsers(new TextEncoder().encode(`\ufeff${listed(ada)}`)).length, 1)
  })

  test(`has at most ${MAX_USERS} users`, () => {
    assert.match(problemsOf(`{"users":[${'0,'.repeat(MAX_USERS)}0]}`)[0] ?? '', /must be at most 200000/)
  })

  test('gives a grant that changes with every member of the record, and stays the same otherwise', () => {
    const grantOf = (more: object) => parseUsers(listed({ ...ada, ...more }))[0]?.grant ?? ''
    const grants = [
      {},
      { password_hash: HASH.replace('$2a$', '$2b$') },
      { scram: [SCRAM] },
      { enabled: false },
      { groups: ['a'] },
      { groups: ['a', 'b'] },
      { roles: ['a'] },
      { scopes: ['a'] },
      { type: 'user' },
      { org: 'a' },
      { client_ids: ['a'] },
      { attributes: { a: 1 } },
      { attributes: { a: '1' } },
    ].map(grantOf)
    assert.equal(new Set(grants).size, 13)
    assert.equal(grantOf({}), grants[0])
    assert.ok(grants.every((grant) => grant.endsWith('.ada') && grant.length <= 256 && !grant.includes('CCCCC')))
    assert.ok((parseUsers(listed({ ...ada, username: 'x'.repeat(200) }))[0]?.grant.length ?? 999) <= 256)
  })
})
