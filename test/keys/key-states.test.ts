import assert from 'node:assert/strict'
import { test } from 'node:test'
import { activeFromMs, mayMove } from '#src/keys/key-states.ts'
import type { KeyState } from '#src/keys/stored-key.ts'
import type { KeyPurpose } from '#src/kms/kms.ts'

const states: readonly KeyState[] = ['next', 'active', 'retired', 'revoked', 'destroyed']

const published = ['next>active', 'next>revoked', 'active>retired', 'active>revoked', 'retired>destroyed'].concat(
  'retired>revoked',
  'destroyed>revoked',
)
const own = ['active>retired', 'retired>destroyed']

/** Every way that there is; all others are refused. */
const ways: Readonly<Partial<Record<KeyPurpose, readonly string[]>>> = {
  'issuer-key': published,
  'audit-key': published,
  'root-key': own,
  'api-key-pepper': own,
  'cursor-key': own,
  'vault-key': own,
  'audit-head-key': [],
  canary: [],
  'vault-share': [],
}

for (const [purpose, allowed] of Object.entries(ways) as [KeyPurpose, readonly string[]][]) {
  test(`${purpose}: exactly these moves: ${allowed.join(', ') || 'none'}`, () => {
    const found = states.flatMap((from) =>
      states.filter((to) => mayMove(purpose, from, to)).map((to) => `${from}>${to}`),
    )
    assert.deepEqual(found.toSorted(), allowed.toSorted())
  })
}

const all = Object.keys(ways) as KeyPurpose[]

test('no key of any purpose stays as it is by a move, comes back to use, or becomes next', () => {
  assert.equal(all.length, 9)
  for (const purpose of [...all, 'sign-key', 'v1-key', 'recipient-seed', 'mac-key'] as KeyPurpose[]) {
    for (const state of states) {
      assert.equal(mayMove(purpose, state, state), false)
      assert.equal(mayMove(purpose, state, 'next'), false)
      if (state !== 'next') assert.equal(mayMove(purpose, state, 'active'), false, `${purpose} ${state}`)
    }
  }
})

test('what readers were told is revoked never becomes anything else', () => {
  for (const purpose of ['issuer-key', 'audit-key'] as const) {
    for (const to of states) assert.equal(mayMove(purpose, 'revoked', to), false)
  }
})

test('a purpose that the table does not have never moves', () => {
  for (const from of states) for (const to of states) assert.equal(mayMove('toString' as KeyPurpose, from, to), false)
})

test('a published key may sign once documents of 300 s have expired everywhere, clocks 60 s apart', () => {
  assert.equal(activeFromMs({ notBefore: new Date(1_000_000) }), 1_000_000 + 360_000)
})
