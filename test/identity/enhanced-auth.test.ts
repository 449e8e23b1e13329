import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { copyBytes } from '#src/core/bytes.ts'
import { createDecoy } from '#src/identity/scram/decoy.ts'
import {
  type AuthStep,
  beginEnhancedAuth,
  continueEnhancedAuth,
  type EnhancedAuthDeps,
  type EnhancedAuthState,
  type ScramUser,
} from '#src/identity/scram/enhanced-auth.ts'
import { scramUsers } from '#src/identity/scram/scram-users.ts'
import { createScramVerifier, formatScramVerifier, type ScramMethod } from '#src/identity/scram/verifier.ts'
import { parseUsers } from '#src/identity/users-file/parse-users.ts'
import { scramClient } from '#test/support/scram-client.ts'

const users = new Map<string, ScramUser<string>>()
let sent: string[] = []
const deps: EnhancedAuthDeps<string> = {
  find: (username, method) => users.get(`${method} ${username}`),
  decoy: createDecoy(Buffer.alloc(32, 1), 4_096),
  serverNonce: () => {
    const nonce = randomBytes(18).toString('base64')
    sent.push(nonce)
    return nonce
  },
}

async function add(method: ScramMethod, username: string, password: string, disabled = false) {
  const salt = copyBytes(randomBytes(16))
  const verifier = (await createScramVerifier(method, password, { salt, iterations: 4_096 })) ?? assert.fail()
  users.set(`${method} ${username}`, { verifier, user: `record of ${username}`, disabled })
}

before(async () => {
  await add('SCRAM-SHA-256', 'device-1', 'pencil')
  await add('SCRAM-SHA-512', 'device-1', 'pencil')
  await add('SCRAM-SHA-256', 'device-2', 'rubber')
  await add('SCRAM-SHA-256', 'gone', 'pencil', true)
})

type Step = AuthStep<string>

function begin(method: string, data: Uint8Array | undefined, username?: string): Step {
  return beginEnhancedAuth({ method, data, username }, deps)
}

const auth = (state: EnhancedAuthState<string>, reasonCode: number, method: string | undefined, data?: Uint8Array) =>
  continueEnhancedAuth(state, { reasonCode, method, data }, deps)

function connected(method: ScramMethod = 'SCRAM-SHA-256', username = 'device-1', password = 'pencil') {
  const client = scramClient(method, username, password)
  const challenged = begin(method, client.first)
  const { final } = client.answer(challenged.reply.data)
  return auth(challenged.state, 0x18, method, final)
}

function assertRefused(step: Step, packet: string, reasonCode: number, reason: string) {
  assert.deepEqual(step.reply, { packet, reasonCode }, 'nothing but a reason code goes out')
  assert.equal(step.state.phase, 'ended')
  assert.equal(step.refused?.reason, reason)
}

for (const method of ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
  test(`enhanced authentication: ${method} lets in who has the password, and proves that we know it`, () => {
    const client = scramClient(method, 'device-1', 'pencil')
    const challenged = begin(method, client.first)
    assert.equal(challenged.state.phase, 'challenged')
    assert.deepEqual([challenged.reply.packet, challenged.reply.reasonCode], ['auth', 0x18])
    assert.equal(challenged.reply.method, method)
    const { final, signature } = client.answer(challenged.reply.data)
    const done = auth(challenged.state, 0x18, method, final)
    assert.deepEqual(done.state, { phase: 'established', method, username: 'device-1', user: 'record of device-1' })
    assert.deepEqual(done.reply, { packet: 'connack', reasonCode: 0, method, data: copyBytes(Buffer.from(signature)) })
    assert.equal(done.refused, undefined)
  })
}

test('enhanced authentication: an unknown method is refused with 0x8C, whatever its name resembles', () => {
  for (const method of ['', 'PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256-PLUS', 'scram-sha-256', 'constructor', 'GS2-KRB5'])
    assertRefused(
      begin(method, scramClient('SCRAM-SHA-256', 'device-1', 'pencil').first),
      'connack',
      0x8c,
      'exchange-invalid',
    )
})

test('enhanced authentication: no data, data that is no message and channel binding are refused with 0x87', () => {
  for (const data of [
    undefined,
    new Uint8Array(0),
    Buffer.from('hello'),
    Buffer.from('p=tls-unique,,n=device-1,r=abc'),
  ])
    assertRefused(begin('SCRAM-SHA-256', data), 'connack', 0x87, 'exchange-invalid')
})

test('enhanced authentication: a wrong password, an unknown user and a disabled one are told apart in the log alone', () => {
  const cases = [
    ['device-1', 'penci1', 'wrong-password'],
    ['device-2', 'pencil', 'wrong-password'],
    ['nobody', 'pencil', 'unknown-user'],
    ['gone', 'pencil', 'disabled'],
    ['gone', 'penci1', 'wrong-password'],
  ] as const
  for (const [username, password, reason] of cases) {
    const client = scramClient('SCRAM-SHA-256', username, password)
    const challenged = begin('SCRAM-SHA-256', client.first)
    assert.match(Buffer.from(challenged.reply.data ?? []).toString(), /^r=[^,]{48},s=[A-Za-z0-9+/]{22}==,i=4096$/)
    const { final } = client.answer(challenged.reply.data)
    assertRefused(auth(challenged.state, 0x18, 'SCRAM-SHA-256', final), 'connack', 0x87, reason)
  }
})

test('enhanced authentication: an unknown user is given the same salt each time, and another nonce', () => {
  sent = []
  const saltOf = (username: string) => {
    const { data } = begin('SCRAM-SHA-256', scramClient('SCRAM-SHA-256', username, 'x').first).reply
    return /s=([^,]+)/.exec(Buffer.from(data ?? []).toString())?.[1]
  }
  assert.equal(saltOf('nobody'), saltOf('nobody'))
  assert.notEqual(saltOf('nobody'), saltOf('nobody-else'))
  assert.equal(saltOf('device-1'), saltOf('device-1'))
  assert.equal(sent.length, 6)
  assert.equal(new Set(sent).size, 6)
})

test('enhanced authentication: a proof that fits a decoy still lets nobody in', () => {
  const { verifier } = users.get('SCRAM-SHA-256 device-1') ?? assert.fail()
  const leaky: EnhancedAuthDeps<string> = { ...deps, decoy: () => verifier }
  const client = scramClient('SCRAM-SHA-256', 'nobody', 'pencil')
  const connect = { method: 'SCRAM-SHA-256', data: client.first, username: undefined }
  const { state, reply } = beginEnhancedAuth(connect, leaky)
  const { final } = client.answer(reply.data)
  const answer = { reasonCode: 0x18, method: 'SCRAM-SHA-256', data: final }
  assertRefused(continueEnhancedAuth(state, answer, leaky), 'connack', 0x87, 'unknown-user')
})

test('enhanced authentication: the keys of one method do not serve the other', () => {
  const client = scramClient('SCRAM-SHA-512', 'device-2', 'rubber')
  const challenged = begin('SCRAM-SHA-512', client.first)
  const { final } = client.answer(challenged.reply.data)
  assertRefused(auth(challenged.state, 0x18, 'SCRAM-SHA-512', final), 'connack', 0x87, 'unknown-user')
})

test('enhanced authentication: the answer to one challenge is none to another', () => {
  const client = scramClient('SCRAM-SHA-256', 'device-1', 'pencil')
  const { final } = client.answer(begin('SCRAM-SHA-256', client.first).reply.data)
  const other = begin('SCRAM-SHA-256', client.first)
  assertRefused(auth(other.state, 0x18, 'SCRAM-SHA-256', final), 'connack', 0x87, 'exchange-invalid')
})

test('enhanced authentication: the User Name of CONNECT may not be another one', () => {
  const { first } = scramClient('SCRAM-SHA-256', 'device-1', 'pencil')
  assertRefused(begin('SCRAM-SHA-256', first, 'admin'), 'connack', 0x87, 'username-mismatch')
  for (const username of ['device-1', 'device\u00ad-1', '', undefined])
    assert.equal(begin('SCRAM-SHA-256', first, username).state.phase, 'challenged')
})

test('enhanced authentication: packets out of turn end the first exchange with 0x82, another method with 0x8C', () => {
  const client = scramClient('SCRAM-SHA-256', 'device-1', 'pencil')
  const { state, reply } = begin('SCRAM-SHA-256', client.first)
  const { final } = client.answer(reply.data)
  for (const code of [0x00, 0x19, 0x17, 0x87, Number.NaN])
    assertRefused(auth(state, code, 'SCRAM-SHA-256', final), 'connack', 0x82, 'exchange-invalid')
  for (const method of ['SCRAM-SHA-512', '', undefined])
    assertRefused(auth(state, 0x18, method, final), 'connack', 0x8c, 'exchange-invalid')
  assertRefused(auth(state, 0x18, 'SCRAM-SHA-256'), 'connack', 0x87, 'exchange-invalid')
  const ended = auth(state, 0x00, 'SCRAM-SHA-256').state
  assertRefused(auth(ended, 0x18, 'SCRAM-SHA-256', final), 'connack', 0x82, 'exchange-invalid')
})

test('re-authentication: the same user and method go on with AUTH 0x00, and take what the record says by then', () => {
  const { state } = connected()
  const record = users.get('SCRAM-SHA-256 device-1') ?? assert.fail()
  users.set('SCRAM-SHA-256 device-1', { ...record, user: 'newer record' })
  try {
    const client = scramClient('SCRAM-SHA-256', 'device-1', 'pencil', 'another-nonce')
    const challenged = auth(state, 0x19, 'SCRAM-SHA-256', client.first)
    assert.deepEqual([challenged.reply.packet, challenged.reply.reasonCode], ['auth', 0x18])
    const { final, signature } = client.answer(challenged.reply.data)
    const done = auth(challenged.state, 0x18, 'SCRAM-SHA-256', final)
    const data = copyBytes(Buffer.from(signature))
    assert.deepEqual(done.reply, { packet: 'auth', reasonCode: 0, method: 'SCRAM-SHA-256', data })
    assert.equal(done.state.phase === 'established' && done.state.user, 'newer record')
  } finally {
    users.set('SCRAM-SHA-256 device-1', record)
  }
})

test('re-authentication: another user, another method and a wrong password end the connection with DISCONNECT', () => {
  const { state } = connected()
  const other = scramClient('SCRAM-SHA-256', 'device-2', 'rubber')
  assertRefused(auth(state, 0x19, 'SCRAM-SHA-256', other.first), 'disconnect', 0x87, 'username-mismatch')
  const { first } = scramClient('SCRAM-SHA-512', 'device-1', 'pencil')
  assertRefused(auth(state, 0x19, 'SCRAM-SHA-512', first), 'disconnect', 0x82, 'exchange-invalid')
  assertRefused(auth(state, 0x18, 'SCRAM-SHA-256', first), 'disconnect', 0x82, 'exchange-invalid')
  assertRefused(auth(state, 0x19, 'SCRAM-SHA-256'), 'disconnect', 0x87, 'exchange-invalid')
  const wrong = scramClient('SCRAM-SHA-256', 'device-1', 'penci1')
  const challenged = auth(state, 0x19, 'SCRAM-SHA-256', wrong.first)
  assert.equal(challenged.state.phase === 'challenged' && challenged.state.before?.user, 'record of device-1')
  const { final } = wrong.answer(challenged.reply.data)
  assertRefused(auth(challenged.state, 0x18, 'SCRAM-SHA-256', final), 'disconnect', 0x87, 'wrong-password')
  assertRefused(auth(challenged.state, 0x19, 'SCRAM-SHA-256', wrong.first), 'disconnect', 0x82, 'exchange-invalid')
  assertRefused(auth(challenged.state, 0x18, 'SCRAM-SHA-512', final), 'disconnect', 0x82, 'exchange-invalid')
})

test('re-authentication: a user that was disabled or removed meanwhile does not come through', () => {
  const { state } = connected('SCRAM-SHA-256', 'device-2', 'rubber')
  const record = users.get('SCRAM-SHA-256 device-2') ?? assert.fail()
  const again = () => {
    const client = scramClient('SCRAM-SHA-256', 'device-2', 'rubber')
    const challenged = auth(state, 0x19, 'SCRAM-SHA-256', client.first)
    return auth(challenged.state, 0x18, 'SCRAM-SHA-256', client.answer(challenged.reply.data).final)
  }
  users.set('SCRAM-SHA-256 device-2', { ...record, disabled: true })
  assertRefused(again(), 'disconnect', 0x87, 'disabled')
  users.delete('SCRAM-SHA-256 device-2')
  assertRefused(again(), 'disconnect', 0x87, 'unknown-user')
})

test('enhanced authentication: whatever packets come in whatever order, nobody gets in without the password', () => {
  const packet = fc.record({
    reasonCode: fc.constantFrom(0x00, 0x18, 0x19, 0x87),
    method: fc.constantFrom('SCRAM-SHA-256', 'SCRAM-SHA-512', undefined),
    kind: fc.constantFrom('first', 'final', 'noise', 'none'),
    username: fc.constantFrom('device-1', 'device-2', 'nobody', 'gone'),
  })
  let challenges = 0
  fc.assert(
    fc.property(
      fc.array(packet, { minLength: 1, maxLength: 6 }),
      fc.uint8Array({ maxLength: 24 }),
      (packets, noise) => {
        const guess = scramClient('SCRAM-SHA-256', 'device-1', 'guess')
        let step: Step = begin('SCRAM-SHA-256', guess.first)
        for (const { reasonCode, method, kind, username } of packets) {
          const client = scramClient(method ?? 'SCRAM-SHA-256', username, 'guess')
          const isAsked = kind === 'final' && step.reply.data !== undefined
          if (isAsked) challenges++
          const data = {
            first: client.first,
            final: isAsked ? client.answer(step.reply.data).final : noise,
            noise,
            none: undefined,
          }
          step = auth(step.state, reasonCode, method, data[kind])
          assert.notEqual(step.state.phase, 'established')
          assert.equal(step.reply.reasonCode === 0, false)
        }
      },
    ),
    { numRuns: 300 },
  )
  assert.ok(challenges > 20, 'challenges were answered')
})

test('SCRAM users of a file: by name and method; who is disabled or may not use the client id fails at the end', async () => {
  const salt = copyBytes(randomBytes(16))
  const verifier = (await createScramVerifier('SCRAM-SHA-256', 'pencil', { salt, iterations: 4_096 })) ?? assert.fail()
  const scram = [formatScramVerifier(verifier)]
  const records = parseUsers(
    JSON.stringify({
      users: [
        { username: 'free', scram },
        { username: 'bound', scram, client_ids: ['c1'] },
        { username: 'off', scram, enabled: false },
      ],
    }),
  )
  const file = { find: (username: string) => records.find((one) => one.username === username) }
  const seen = (username: string, clientId: string, method: ScramMethod = 'SCRAM-SHA-256') => {
    const found = scramUsers(file, clientId)(username, method)
    return found && (found.disabled ? 'disabled' : found.user.username)
  }
  assert.equal(seen('free', 'c1'), 'free')
  assert.equal(seen('free', 'c1', 'SCRAM-SHA-512'), undefined)
  assert.equal(seen('bound', 'c1'), 'bound')
  assert.equal(seen('bound', 'c2'), 'disabled')
  assert.equal(seen('off', 'c1'), 'disabled')
  assert.equal(seen('nobody', 'c1'), undefined)
})
