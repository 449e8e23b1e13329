import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Log, silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { anonymousProviderSchema, createAnonymousProvider } from '#src/identity/anonymous.ts'
import { UNKNOWN_LIST } from '#src/identity/blocked/blocked-client.ts'
import { type AuthenticatorDeps, createAuthenticator, type Refusal } from '#src/identity/chain.ts'
import { clientIdsSchema, createClientIdRules } from '#src/identity/client-ids.ts'
import type { Credentials, Provider, RefusalReason, Verdict } from '#src/identity/provider.ts'

const never = new AbortController().signal
const password = (text: string) => new Secret(new TextEncoder().encode(text))
const client: Credentials = { clientId: 'dev-1', username: 'ada', password: password('pw'), ip: '192.0.2.7' }

const yes = (username?: string): Verdict => ({
  outcome: 'success',
  identity: { clientId: 'dev-1', ...(username === undefined ? {} : { username }) },
  grant: 'g',
})
const skip = (reason: RefusalReason): Verdict => ({ outcome: 'skip', reason })
const refuse = (reason: RefusalReason): Verdict => ({ outcome: 'refuse', reason })

function setUp(
  verdicts: Readonly<Record<string, Verdict | (() => Promise<Verdict>)>>,
  more: Partial<AuthenticatorDeps> = {},
) {
  const asked: string[] = []
  const noted: Refusal[] = []
  const providers = Object.entries(verdicts).map(([name, verdict]): Provider => {
    return {
      name,
      authenticate(_credentials, _signal) {
        asked.push(name)
        return typeof verdict === 'function' ? verdict() : Promise.resolve(verdict)
      },
      holds: (grant) => grant === `grant of ${name}`,
    }
  })
  const authenticator = createAuthenticator({
    providers,
    clientIds: createClientIdRules(clientIdsSchema.parse(undefined)),
    blocked: { judge: () => undefined },
    refusals: { note: (refusal) => noted.push(refusal) },
    log: silentLog,
    ...more,
  })
  return { ...authenticator, asked, noted }
}

describe('a chain of providers', () => {
  test('without any provider refuses everybody', async () => {
    const { authenticate, noted } = setUp({})
    assert.deepEqual(await authenticate(client, never), { refused: { reason: 'no-provider', tried: [] } })
    assert.deepEqual(await authenticate({ clientId: 'dev-1' }, never), {
      refused: { reason: 'no-provider', tried: [] },
    })
    assert.equal(noted.length, 2)
  })

  test('asks in order until one accepts, and says which one did', async () => {
    const { authenticate, asked, noted } = setUp({ a: skip('no-credentials'), b: yes('ada'), c: refuse('disabled') })
    assert.deepEqual(await authenticate(client, never), { accepted: { ...yes('ada'), provider: 'b' } })
    assert.deepEqual(asked, ['a', 'b'])
    assert.deepEqual(noted, [])
  })

  test('stops at the first that refuses, even where a later one would accept', async () => {
    for (const reason of ['wrong-password', 'unavailable'] as const) {
      const { authenticate, asked, noted } = setUp({ a: skip('unknown-user'), b: refuse(reason), c: yes('ada') })
      const tried = [
        { provider: 'a', reason: 'unknown-user' },
        { provider: 'b', reason },
      ]
      assert.deepEqual(await authenticate(client, never), { refused: { reason, tried } })
      assert.deepEqual(asked, ['a', 'b'])
      assert.deepEqual(noted, [
        { clientId: 'dev-1', username: 'ada', ip: '192.0.2.7', passwordProvided: true, reason, provider: 'b' },
      ])
    }
  })

  test('where all skip refuses with what the last one that looked at anything found', async () => {
    const two = setUp({ a: skip('unknown-user'), b: skip('no-credentials') })
    assert.partialDeepStrictEqual(await two.authenticate(client, never), { refused: { reason: 'unknown-user' } })
    const last = setUp({ a: skip('token-issuer'), b: skip('certificate-untrusted'), c: skip('no-credentials') })
    assert.partialDeepStrictEqual(await last.authenticate(client, never), {
      refused: { reason: 'certificate-untrusted' },
    })
    const none = setUp({ a: skip('no-credentials') })
    assert.partialDeepStrictEqual(await none.authenticate(client, never), { refused: { reason: 'no-credentials' } })
  })

  test('says `unknown-user` wherever one looked for the name, so that such guesses are counted like those at a known name', async () => {
    const guess = setUp({ a: skip('unknown-user'), b: skip('token-issuer') })
    const { refused } = (await guess.authenticate(client, never)) as { refused: { reason: string; tried: object[] } }
    assert.equal(refused.reason, 'unknown-user')
    assert.deepEqual(refused.tried.at(-1), { provider: 'b', reason: 'token-issuer' })
  })

  test('takes a provider that throws, or that never answers, as one that cannot tell: nobody else decides', async () => {
    const lines: object[] = []
    const log: Log = { ...silentLog, error: (fields) => lines.push(fields) }
    const faulty = setUp({ a: () => Promise.reject(new Error('boom')), b: yes('ada') }, { log })
    assert.partialDeepStrictEqual(await faulty.authenticate(client, never), { refused: { reason: 'unavailable' } })
    assert.deepEqual(faulty.asked, ['a'])
    assert.partialDeepStrictEqual(lines, [{ provider: 'a' }])

    const ending = new AbortController()
    const hanging = setUp({
      a: () => {
        queueMicrotask(() => ending.abort())
        return new Promise(() => {})
      },
      b: yes('ada'),
    })
    assert.partialDeepStrictEqual(await hanging.authenticate(client, ending.signal), {
      refused: { reason: 'unavailable' },
    })
    assert.deepEqual(hanging.asked, ['a'])
    const late = setUp({ b: yes('ada') })
    assert.partialDeepStrictEqual(await late.authenticate(client, ending.signal), {
      refused: { reason: 'unavailable' },
    })
    assert.deepEqual(late.asked, [], 'nothing is begun for a client that nobody waits for')
  })

  test('judges client ids before everything, for clients without credentials as well', async () => {
    const { authenticate, asked, noted } = setUp({ a: yes() })
    for (const clientId of ['', 'a/b', '../../x', '+']) {
      assert.partialDeepStrictEqual(await authenticate({ clientId }, never), {
        refused: { reason: 'client-id-invalid' },
      })
    }
    assert.deepEqual(asked, [])
    assert.equal(noted.length, 4)
  })

  test('says that nobody can tell, not that a client is blocked, while the list is not known', async () => {
    let known = false
    const blocked = { judge: () => (known ? undefined : UNKNOWN_LIST) }
    const before = setUp({ a: yes('ada') }, { blocked })
    assert.deepEqual(await before.authenticate(client, never), { refused: { reason: 'unavailable', tried: [] } })
    assert.deepEqual(before.asked, [])
    assert.partialDeepStrictEqual(before.noted, [{ reason: 'unavailable', entryId: UNKNOWN_LIST }])
    known = true
    const during = setUp(
      {
        a: () => {
          known = false
          return Promise.resolve(yes('ada'))
        },
      },
      { blocked },
    )
    assert.deepEqual(await during.authenticate(client, never), { refused: { reason: 'unavailable', tried: [] } })
  })

  test('refuses blocked clients before the providers, and by the name that was verified after them', async () => {
    const blocked = { judge: ({ username }: { username?: string }) => (username === 'eve' ? 'blk_1' : undefined) }
    const before = setUp({ a: yes('eve') }, { blocked })
    assert.partialDeepStrictEqual(await before.authenticate({ ...client, username: 'eve' }, never), {
      refused: { reason: 'blocked', tried: [] },
    })
    assert.deepEqual(before.asked, [])
    assert.partialDeepStrictEqual(before.noted, [{ reason: 'blocked', entryId: 'blk_1' }])

    const after = setUp({ a: yes('eve') }, { blocked })
    assert.partialDeepStrictEqual(await after.authenticate(client, never), { refused: { reason: 'blocked' } })
    assert.deepEqual(after.asked, ['a'])
  })

  test('never tells a token as the name of a client', async () => {
    const { authenticate, noted } = setUp({ a: skip('token-malformed') })
    const token = `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`
    const spaced = `${Buffer.from('{\n "alg": "none"}').toString('base64url')}.e30.`
    const tokens = [token, `Bearer ${token}`, `jwt:${token}?x`, `a|${spaced}`, `${token}${'x'.repeat(20_000)}`]
    const long = 'n'.repeat(100_000)
    for (const username of [...tokens, 'temperature.sensor.1', 'example-sensor.hall.2', long]) {
      await authenticate({ clientId: 'dev-1', username }, never)
    }
    const shown = noted.map(({ username }) => username)
    const names = ['temperature.sensor.1', 'example-sensor.hall.2', 'n'.repeat(256)]
    assert.deepEqual(shown, [...tokens.map(() => '[token]'), ...names])
  })

  test('asks the provider that granted whether a grant still holds, and no other', () => {
    const { holds } = setUp({ a: yes(), b: yes() })
    assert.equal(holds({ provider: 'a', grant: 'grant of a' }), true)
    assert.equal(holds({ provider: 'b', grant: 'grant of a' }), false)
    assert.equal(holds({ provider: 'gone', grant: 'grant of a' }), false)
  })

  test('does not take two providers of one name', () => {
    const one = createAnonymousProvider(anonymousProviderSchema.parse({ type: 'anonymous' }), { name: 'a' })
    assert.throws(() => setUp({}, { providers: [one, one] }), TypeError)
  })
})

describe('the anonymous provider', () => {
  const provider = createAnonymousProvider(anonymousProviderSchema.parse({ type: 'anonymous', groups: ['public'] }), {
    name: 'open',
  })

  test('lets in who shows nothing, without a username, as anonymous', async () => {
    const verdict = await provider.authenticate({ clientId: 'dev-1', username: '', ip: '192.0.2.7', tls: true }, never)
    assert.deepEqual(verdict, {
      outcome: 'success',
      identity: {
        clientId: 'dev-1',
        ip: '192.0.2.7',
        tls: true,
        type: 'anonymous',
        auth: 'anonymous',
        groups: ['public'],
      },
      grant: 'anonymous',
    })
    assert.equal(provider.holds('anonymous'), true)
    assert.equal(provider.holds('other'), false)
  })

  test('skips who shows anything: a name, a password, a token, a certificate', async () => {
    const shown: readonly Partial<Credentials>[] = [
      { username: 'ada' },
      { password: password('x') },
      { bearer: new Secret('t') },
      { certificates: [new Uint8Array(1)] },
    ]
    for (const one of shown) {
      // It looks for no name, so that what another provider found is what counts.
      const skipped = { outcome: 'skip', reason: 'no-credentials' }
      assert.deepEqual(await provider.authenticate({ clientId: 'dev-1', ...one }, never), skipped)
    }
  })
})
