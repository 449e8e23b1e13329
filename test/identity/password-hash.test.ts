import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import {
  createDummies,
  createDummyHash,
  hashPassword,
  isWeak,
  type PasswordHash,
  parsePasswordHash,
  verifyPassword,
} from '#src/identity/users-file/password-hash.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

function hashOf(text: string): PasswordHash {
  const hash = parsePasswordHash(text)
  assert.ok(!('problem' in hash), text)
  return hash
}

/** Made by others: crypt_blowfish's own tests (`U*U`), and the PHC winner's reference program (`password`, `somesalt`). */
const published = [
  { text: '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', password: 'U*U', kind: 'bcrypt 5' },
  { text: '$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a', password: 'U*U*U', kind: 'bcrypt 5' },
  {
    text: '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    password: 'password',
    kind: 'argon2id m=65536,t=2,p=1',
  },
  {
    text: '$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc',
    password: 'password',
    kind: 'argon2id m=256,t=2,p=2',
  },
]

describe('password hashes', () => {
  for (const { text, password, kind } of published) {
    test(`${text.slice(0, 32)}… of others is verified`, async () => {
      const hash = hashOf(text)
      assert.equal(hash.kind, kind)
      assert.equal(await verifyPassword(hash, bytes(password)), true)
      const wrongs = [`${password}x`, '', password.slice(1), password.toUpperCase().replace('U', 'u')]
      for (const wrong of kind.includes('m=65536') ? wrongs.slice(0, 1) : wrongs) {
        assert.equal(await verifyPassword(hash, bytes(wrong)), false, wrong)
      }
    })
  }

  test('$2a$, $2b$ and $2y$ are one and the same here', async () => {
    const [{ text, password }] = published as [(typeof published)[0]]
    for (const version of ['$2a$', '$2b$', '$2y$']) {
      assert.equal(await verifyPassword(hashOf(text.replace('$2a$', version)), bytes(password)), true)
    }
  })

  test('that a verifier would dismiss without work, or that cost too little or too much, are refused', () => {
    const [{ text: bcrypt }] = published as [(typeof published)[0]]
    const salt = 'c29tZXNhbHQ'
    const tag = 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
    const bad = [
      '',
      'password',
      'plain:password',
      '5f4dcc3b5aa765d61d8327deb882cf99',
      '$1$salt$hash',
      '$6$salt$hash',
      bcrypt.replace('$2a$', '$2x$'),
      bcrypt.replace('$2a$', '$2$'),
      bcrypt.replace('$05$', '$03$'),
      bcrypt.replace('$05$', '$15$'),
      bcrypt.replace('$05$', '$31$'),
      bcrypt.replace('$05$', '$5$'),
      bcrypt.slice(0, 59),
      `${bcrypt}a`,
      `${bcrypt}\n`,
      ` ${bcrypt}`,
      `${bcrypt.slice(0, 28)}/${bcrypt.slice(29)}`, // bits of the salt that nothing reads
      `${bcrypt.slice(0, 59)}X`, // and of the digest
      `$argon2i$v=19$m=65536,t=2,p=1$${salt}$${tag}`,
      `$argon2d$v=19$m=65536,t=2,p=1$${salt}$${tag}`,
      `$argon2id$v=16$m=65536,t=2,p=1$${salt}$${tag}`,
      `$argon2id$m=65536,t=2,p=1$${salt}$${tag}`,
      `$argon2id$v=19$m=262145,t=2,p=1$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=17,p=1$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=0,p=1$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=2,p=17$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=2,p=0$${salt}$${tag}`,
      `$argon2id$v=19$m=15,t=2,p=2$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=2,p=1$${salt}$`,
      `$argon2id$v=19$m=65536,t=2,p=1$c2FsdHM$${tag}`,
      `$argon2id$v=19$m=65536,t=2,p=1$${salt}=$${tag}`,
      `$argon2id$v=19$m=65536,t=2,p=1$${salt.slice(0, -1)}R$${tag}`, // another spelling of the same bytes
      `$argon2id$v=19$m=65536,t=2,p=1$${salt}$${'A'.repeat(21)}`,
    ]
    for (const text of bad) {
      const judged = parsePasswordHash(text)
      assert.ok('problem' in judged, text)
      assert.ok(text === '' || !judged.problem.includes(text), 'does not quote the hash')
    }
  })

  test('of bcrypt do not take two passwords of the same 72 bytes for one, nor one with a NUL', async () => {
    const { hashSync } = await import('@node-rs/bcrypt')
    const full = 'p'.repeat(72)
    const ofFull = hashOf(hashSync(full, 4))
    assert.equal(await verifyPassword(ofFull, bytes(full)), true)
    assert.equal(await verifyPassword(ofFull, bytes(`${full}q`)), false)
    const ofLong = hashOf(hashSync(`${full}long`, 4)) // made by a program that cuts
    assert.equal(await verifyPassword(ofLong, bytes(`${full}long`)), false)
    const withNul = hashOf(hashSync('a\u0000b', 4))
    assert.equal(await verifyPassword(withNul, bytes('a\u0000b')), false)
    assert.equal(await verifyPassword(hashOf(hashSync('a', 4)), bytes('a\u0000')), false)
  })

  test('made here are argon2id under a salt of their own, for any bytes', async () => {
    const passwords = [bytes('pässword'), new Uint8Array([0xff, 0x00, 0xfe]), bytes('x'.repeat(1024))]
    const salts = new Set<string>()
    for (const password of passwords) {
      const text = await hashPassword(password)
      const hash = hashOf(text)
      assert.equal(hash.kind, 'argon2id m=19456,t=2,p=1')
      assert.equal(isWeak(hash), false)
      assert.equal(await verifyPassword(hash, password), true)
      assert.equal(await verifyPassword(hash, Uint8Array.of(...password, 0)), false)
      salts.add(text.split('$')[4] ?? '')
    }
    assert.equal(salts.size, passwords.length, 'each has its salt')
  })

  test('do not normalise passwords: bytes are compared', async () => {
    const hash = hashOf(await hashPassword(bytes('\u00e9')))
    assert.equal(await verifyPassword(hash, bytes('e\u0301')), false)
  })

  test('that are cheap to guess from are known as weak', () => {
    const kinds = ['bcrypt 4', 'bcrypt 9', 'bcrypt 10', 'argon2id m=19456,t=1,p=1', 'argon2id m=65536,t=1,p=1']
    assert.deepEqual(
      kinds.map((kind) => isWeak({ kind, text: '' })),
      [true, true, false, true, false],
    )
  })
})

describe('dummies for unknown users', () => {
  for (const kind of ['bcrypt 4', 'bcrypt 10', 'argon2id m=64,t=3,p=2']) {
    test(`of kind ${kind} are hashes that a verifier does not dismiss`, async () => {
      for (let i = 0; i < 50; i++) {
        const dummy = createDummyHash(kind, randomBytes(32))
        assert.deepEqual(parsePasswordHash(dummy.text), dummy)
      }
      assert.equal(await verifyPassword(createDummyHash(kind, randomBytes(32)), bytes('password')), false)
    })
  }

  test('are of the only kind there is, and of the usual one in a file without users', () => {
    const key = randomBytes(32)
    assert.equal(createDummies(new Map([['bcrypt 12', 7]]), key)('anybody').kind, 'bcrypt 12')
    assert.equal(createDummies(new Map(), key)('anybody').kind, 'argon2id m=19456,t=2,p=1')
  })

  test('of a mixed file are as often of a kind as users are, and the same for a name whenever it is read', () => {
    const key = new Uint8Array(32).fill(7)
    const kinds: [string, number][] = [
      ['bcrypt 10', 90],
      ['argon2id m=64,t=3,p=1', 10],
    ]
    const first = createDummies(new Map(kinds), key)
    const again = createDummies(new Map(kinds.toReversed()), key)
    let rare = 0
    for (let i = 0; i < 5_000; i++) {
      const { kind } = first(`user-${i}`)
      assert.deepEqual(again(`user-${i}`), first(`user-${i}`))
      if (kind !== 'bcrypt 10') rare++
    }
    assert.ok(rare > 400 && rare < 600, `${rare} of 5000`)

    const grown = createDummies(new Map(kinds).set('bcrypt 10', 91), key)
    let moved = 0
    for (let i = 0; i < 5_000; i++) if (grown(`user-${i}`).text !== first(`user-${i}`).text) moved++
    assert.ok(moved < 50, `${moved} of 5000 names moved with one user`)
  })
})
