import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '#src/core/secret.ts'
import { createUnlocks, type UnlockEnd } from '#src/messaging/unlocks.ts'
import type { CustodyShare } from '#src/vault/vault.ts'
import { testClock } from '#test/support/deployment.ts'

const locked = { code: 'integration.locked' }

function setUp() {
  const clock = testClock()
  const ended: UnlockEnd[] = []
  const unlocks = createUnlocks({ clock, ended: (_unlock, reason) => ended.push(reason) })
  const integration = { tenantId: 'ten_a', id: 'int_a', credentialId: 'cred' }
  const grant = { tenantId: 'ten_a', integrationId: 'int_a', credentialId: 'cred', version: 1, locks: 0 }
  const newShare = (): CustodyShare => new Secret(new Uint8Array(32).fill(7))
  /** Accepts a share and returns its bytes. */
  const accept = (ttlMs = 60_000) => {
    const share = newShare()
    unlocks.accept(grant, share, ttlMs)
    return share.reveal()
  }
  return { clock, ended, unlocks, integration, grant, newShare, accept }
}

const isWiped = (bytes: Uint8Array) => bytes.length === 32 && bytes.every((byte) => byte === 0)

test('a share is copied out, so that whoever wipes its own takes it from nobody else', () => {
  const { unlocks, integration, accept } = setUp()
  accept()
  const out = unlocks.shareOf(integration, 1)
  assert.equal(out.reveal()[0], 7)
  out.reveal().fill(0)
  assert.equal(unlocks.shareOf(integration, 1).reveal()[0], 7)
})

const others = [
  { why: 'another version', of: {}, version: 2 },
  { why: 'another credential', of: { credentialId: 'other' }, version: 1 },
  { why: 'another integration', of: { id: 'int_b' }, version: 1 },
  { why: 'another tenant', of: { tenantId: 'ten_b' }, version: 1 },
]
for (const { why, of, version } of others) {
  test(`${why} does not get it`, () => {
    const { unlocks, integration, accept } = setUp()
    accept()
    assert.throws(() => unlocks.shareOf({ ...integration, ...of }, version), locked)
  })
}

test('it is wiped when its time is over, on the monotonic clock, by a timer of its own', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { clock, ended, unlocks, accept } = setUp()
  const bytes = accept()
  clock.advance(59_999)
  t.mock.timers.tick(60_000) // early by the clock that counts
  assert.deepEqual([ended, isWiped(bytes)], [[], false])
  clock.advance(1)
  t.mock.timers.tick(1)
  assert.deepEqual([ended, isWiped(bytes)], [['expired'], true])
  assert.deepEqual([...unlocks], [])
})

test('it is wiped when its time is over by the wall clock, also where the machine slept and the monotonic clock stood', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let sleptMs = 0
  const ended: UnlockEnd[] = []
  const clock = { now: () => 1_000_000 + sleptMs, monotonic: () => 0 }
  const unlocks = createUnlocks({ clock, ended: (_unlock, reason) => ended.push(reason) })
  const { grant, integration, newShare } = setUp()
  const [asked, waited] = [newShare(), newShare()]
  unlocks.accept(grant, asked, 3_600_000)
  unlocks.accept({ ...grant, integrationId: 'int_b' }, waited, 3_600_000)
  sleptMs = 3_600_000
  assert.throws(() => unlocks.shareOf(integration, 1), locked)
  t.mock.timers.tick(30_000)
  assert.deepEqual([ended, isWiped(asked.reveal()), isWiped(waited.reveal())], [['expired', 'expired'], true, true])
})

test('it is wiped before its timer comes when somebody asks after its time', () => {
  const { clock, ended, unlocks, integration, accept } = setUp()
  const bytes = accept()
  clock.advance(60_000)
  assert.equal(unlocks.find(integration), undefined)
  assert.deepEqual([ended, isWiped(bytes)], [['expired'], true])
})

test('it is wiped when it is ended, replaced, and when the process stops; afterwards none is accepted', () => {
  const { ended, unlocks, integration, accept } = setUp()
  const first = accept()
  const second = accept()
  assert.deepEqual([isWiped(first), isWiped(second), ended], [true, false, []])
  assert.equal(unlocks.end(integration, 'locked'), true)
  assert.equal(unlocks.end(integration, 'locked'), false)
  assert.equal(isWiped(second), true)
  const third = accept()
  unlocks.close()
  const late = accept()
  assert.deepEqual([isWiped(third), isWiped(late), ended], [true, true, ['locked', 'stopped']])
  assert.throws(() => unlocks.shareOf(integration, 1), locked)
  assert.throws(() => unlocks.reserve(integration), { code: 'quota.exceeded' })
})

test('the number is bounded, for one tenant and for all; places that are kept free count, a renewal does not', () => {
  const { unlocks, grant, newShare } = setUp()
  const fill = (tenantId: string, count: number) => {
    for (let i = 0; i < count; i++) {
      const leave = unlocks.reserve({ tenantId, id: `int_${i}` })
      unlocks.accept({ ...grant, tenantId, integrationId: `int_${i}` }, newShare(), 60_000)
      leave()
    }
  }
  fill('ten_a', 199)
  const leave = unlocks.reserve({ tenantId: 'ten_a', id: 'int_x' })
  assert.throws(() => unlocks.reserve({ tenantId: 'ten_a', id: 'int_y' }), { code: 'quota.exceeded' })
  leave()
  fill('ten_a', 200)
  unlocks.reserve({ tenantId: 'ten_a', id: 'int_0' })()
  for (const tenantId of ['ten_b', 'ten_c', 'ten_d', 'ten_e']) fill(tenantId, 200)
  assert.throws(() => unlocks.reserve({ tenantId: 'ten_f', id: 'int_0' }), { code: 'quota.exceeded' })
  unlocks.close()
})

test('what is logged or serialised of it has no share', () => {
  const { unlocks, grant, newShare } = setUp()
  const unlock = unlocks.accept(grant, newShare(), 60_000)
  assert.deepEqual(Object.keys(unlock).sort(), [
    'credentialId',
    'integrationId',
    'locks',
    'tenantId',
    'unlockedUntil',
    'version',
  ])
  unlocks.close()
})
