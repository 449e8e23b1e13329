import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { createHttpProvider } from '#src/identity/http-service/create-http-provider.ts'
import { httpProviderSchema } from '#src/identity/http-service/settings.ts'
import type { Accepted, Credentials, Verdict } from '#src/identity/provider.ts'
import { createSecretReader, SecretUnavailable } from '#src/identity/secret-source.ts'
import { createGuardedRequest } from '#src/outbound/guarded-request.ts'
import { createCertificates } from '../support/certificates.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const never = new AbortController().signal

interface Question {
  readonly method: string | undefined
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Answer = (res: ServerResponse, question: Question) => void

const says =
  (answer: object, status = 200): Answer =>
  (res) =>
    void res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))

interface Bench {
  readonly questions: readonly Question[]
  readonly warnings: readonly { why: string }[]
  readonly clock: Clock & { pass(ms: number): void }
  ask(credentials: Partial<Credentials>, signal?: AbortSignal): Promise<Verdict>
  readonly provider: ReturnType<typeof createHttpProvider>
}

async function setUp(t: TestContext, settings: object, answer: Answer): Promise<Bench> {
  const questions: Question[] = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const { method, url = '', headers } = req
    const question = { method, url, headers, body: Buffer.concat(chunks).toString() }
    questions.push(question)
    answer(res, question)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const request = createGuardedRequest({ allow: [] })
  const warnings: { why: string }[] = []
  const startMs = Date.now()
  let movedMs = 0
  const clock = {
    now: () => startMs + movedMs,
    monotonic: () => performance.now() + movedMs,
    pass: (ms: number) => {
      movedMs += ms
    },
  }
  t.after(() => {
    request.close()
    server.closeAllConnections()
    server.close()
  })
  const provider = createHttpProvider(
    httpProviderSchema.parse({ type: 'http', url: `http://127.0.0.1:${port}/check`, ...settings }),
    {
      name: 'service',
      clock,
      log: { ...silentLog, warn: (fields) => void warnings.push(fields as { why: string }) },
      readSecret: createSecretReader({ SERVICE_TOKEN: 'Bearer s3cret', SERVICE_PASSWORD: 'pa:ss' }),
      request,
    },
  )
  t.after(() => provider.close?.())
  const ask: Bench['ask'] = (credentials, signal = never) =>
    provider.authenticate({ clientId: 'c1', username: 'u1', password: new Secret(bytes('p1')), ...credentials }, signal)
  return { questions, warnings, clock, ask, provider }
}

const nasty: readonly { why: string; text: string }[] = [
  { why: 'quotes and braces', text: '","result":"success","x":"}{' },
  { why: 'a placeholder of another fact', text: '${password}' },
  { why: 'its own placeholder', text: '${username}' },
  { why: 'replacement patterns', text: "$& $1 $` $' $$" },
  { why: 'line breaks', text: 'a\r\nx-admin: yes\r\n\r\nb' },
  { why: 'characters of a query', text: 'a&admin=1%26+b=c#d?e;f/g' },
  { why: 'a NUL', text: 'a\0b' },
  { why: 'a backslash at its end', text: 'a\\' },
  { why: 'other scripts', text: 'ü 日本 \u{1f600} \u2028' },
  { why: 'an array and an object', text: '[1,{"a":null}]' },
  { why: 'a name of a prototype', text: '__proto__' },
]

for (const { why, text } of nasty) {
  test(`http service: a username with ${why} stays one value, in JSON, a form and a query`, async (t) => {
    const body = { user: { name: '${username}', both: 'n=${username};p=${password}' }, list: ['${username}', 7, null] }
    const json = await setUp(t, { body }, says({ result: 'success' }))
    const form = await setUp(t, { form: { name: '${username}', 'p&q': '${password}' } }, says({ result: 'success' }))
    const query = await setUp(
      t,
      { method: 'GET', query: { name: '${username}', p: '${password}' } },
      says({ result: 'success' }),
    )
    for (const bench of [json, form, query]) assert.equal((await bench.ask({ username: text })).outcome, 'success')

    assert.equal(json.questions[0]?.headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(json.questions[0]?.body ?? ''), {
      user: { name: text, both: `n=${text};p=p1` },
      list: [text, 7, null],
    })
    assert.equal(form.questions[0]?.headers['content-type'], 'application/x-www-form-urlencoded')
    assert.deepEqual(
      [...new URLSearchParams(form.questions[0]?.body)],
      [
        ['name', text],
        ['p&q', 'p1'],
      ],
    )
    const { search } = new URL(`http://service${query.questions[0]?.url}`)
    assert.deepEqual(
      [...new URLSearchParams(search)],
      [
        ['name', text],
        ['p', 'p1'],
      ],
    )
    assert.equal(query.questions[0]?.method, 'GET')
  })
}

test('http service: a header carries visible ASCII only; anything else refuses, and nobody is asked', async (t) => {
  const settings = { method: 'GET', headers: { 'X-User': '${username}' } }
  const bench = await setUp(t, settings, says({ result: 'success' }))
  for (const username of ['a\r\nx-admin: yes', 'a\nb', 'a\0b', 'ü', ' a', 'a ', 'a  b', 'a\tb', 'x'.repeat(9_000)]) {
    assert.deepEqual(
      await bench.ask({ username }),
      { outcome: 'refuse', reason: 'service-refused' },
      JSON.stringify(username),
    )
  }
  assert.equal(bench.questions.length, 0)
  assert.equal((await bench.ask({ username: 'a b;c="d",e' })).outcome, 'success')
  assert.equal(bench.questions[0]?.headers['x-user'], 'a b;c="d",e')
})

test('http service: half a character, and a password that is no text, are refused and never changed on the way', async (t) => {
  const bench = await setUp(t, {}, says({ result: 'success' }))
  assert.deepEqual(await bench.ask({ username: 'a\ud800' }), { outcome: 'refuse', reason: 'unknown-user' })
  assert.deepEqual(await bench.ask({ clientId: '\udc00a' }), { outcome: 'refuse', reason: 'client-id-invalid' })
  const password = new Secret(new Uint8Array([0x70, 0xff, 0xfe]))
  assert.deepEqual(await bench.ask({ password }), { outcome: 'refuse', reason: 'wrong-password' })
  assert.equal(bench.questions.length, 0)
  const binary = await setUp(t, { body: { p: '${passwordBase64}' } }, says({ result: 'success' }))
  assert.equal((await binary.ask({ password })).outcome, 'success')
  assert.equal(binary.questions[0]?.body, '{"p":"cP/+"}')
})

test('http service: what a client does not show is absent and not empty', async (t) => {
  const strict = await setUp(t, {}, says({ result: 'success' }))
  const nothing: Credentials = { clientId: 'c1' }
  assert.deepEqual(await strict.provider.authenticate({ clientId: 'c1', username: 'u1' }, never), {
    outcome: 'skip',
    reason: 'no-credentials',
  })
  assert.equal(strict.questions.length, 0)

  const body = { u: '${username?}', mixed: 'u=${username?}', p: '${password?}', t: '${token?}' }
  const lax = await setUp(t, { body }, says({ result: 'success' }))
  assert.equal(
    (await lax.provider.authenticate({ clientId: 'c1', bearer: new Secret('t1') }, never)).outcome,
    'success',
  )
  assert.equal(lax.questions[0]?.body, '{"u":null,"mixed":null,"p":null,"t":"t1"}')
  // Nobody is asked about somebody who shows nothing, whatever the template does without.
  for (const credentials of [
    nothing,
    { clientId: 'c1', username: '' },
    { clientId: 'c1', password: new Secret(bytes('')) },
  ]) {
    const verdict = await lax.provider.authenticate(credentials, never)
    assert.deepEqual(verdict, { outcome: 'skip', reason: 'no-credentials' })
  }
  assert.equal(lax.questions.length, 1)

  const form = await setUp(t, { form: { u: '${username}', t: '${token?}' } }, says({ result: 'success' }))
  await form.ask({})
  assert.equal(form.questions[0]?.body, 'u=u1')
})

const refusedAnswers: readonly { why: string; answer: Answer; reason: string }[] = [
  { why: 'an empty 200', answer: (res) => void res.end(), reason: 'service-refused' },
  { why: 'an empty 204', answer: (res) => void res.writeHead(204).end(), reason: 'service-refused' },
  { why: 'no `result`', answer: says({}), reason: 'service-refused' },
  { why: 'no `result` and a client type', answer: says({ clientType: 'DEVICE' }), reason: 'service-refused' },
  { why: 'an unknown `result`', answer: says({ result: 'allow' }), reason: 'service-refused' },
  { why: 'a `result` that is true', answer: says({ result: true }), reason: 'service-refused' },
  { why: 'a `result` in a list', answer: says({ result: ['success'] }), reason: 'service-refused' },
  { why: 'a failure', answer: says({ result: 'failure' }), reason: 'service-refused' },
  { why: 'FAILURE', answer: says({ result: 'FAILURE' }), reason: 'service-refused' },
  { why: 'the word success', answer: (res) => void res.end('success'), reason: 'service-refused' },
  { why: 'a list', answer: says([{ result: 'success' }]), reason: 'service-refused' },
  { why: 'null', answer: (res) => void res.end('null'), reason: 'service-refused' },
  { why: 'a page', answer: (res) => void res.end('<html>welcome</html>'), reason: 'service-refused' },
  {
    why: '`result` twice',
    answer: (res) => void res.end('{"result":"failure","result":"success"}'),
    reason: 'service-refused',
  },
  {
    why: 'bytes that are no text',
    answer: (res) => void res.end(Buffer.from([0x7b, 0xff, 0x7d])),
    reason: 'service-refused',
  },
  {
    why: 'deep nesting',
    answer: (res) => void res.end(`{"result":"success","rules":${'['.repeat(99)}`),
    reason: 'service-refused',
  },
  {
    why: 'an unknown client type',
    answer: says({ result: 'success', clientType: 'INTEGRATION' }),
    reason: 'service-refused',
  },
  { why: 'an empty client type', answer: says({ result: 'success', clientType: '' }), reason: 'service-refused' },
  {
    why: 'an anonymous client',
    answer: says({ result: 'success', clientType: 'anonymous' }),
    reason: 'service-refused',
  },
  { why: 'groups as a text', answer: says({ result: 'success', groups: 'admins' }), reason: 'service-refused' },
  { why: 'a group that is no text', answer: says({ result: 'success', groups: [7] }), reason: 'service-refused' },
  { why: 'a username of null', answer: says({ result: 'success', username: null }), reason: 'service-refused' },
  { why: 'a life of no time', answer: says({ result: 'success', expiresIn: 0 }), reason: 'service-refused' },
  { why: 'a misspelt member', answer: says({ result: 'success', authrules: { pub: [] } }), reason: 'service-refused' },
  { why: 'another username', answer: says({ result: 'success', username: 'root' }), reason: 'username-mismatch' },
  { why: 'rules that are no list', answer: says({ result: 'success', rules: {} }), reason: 'rules-invalid' },
  { why: 'rules of null', answer: says({ result: 'success', rules: null }), reason: 'rules-invalid' },
  {
    why: 'a rule without an id',
    answer: says({ result: 'success', rules: [{ effect: 'allow' }] }),
    reason: 'rules-invalid',
  },
  { why: 'patterns of null', answer: says({ result: 'success', authRules: { pub: null } }), reason: 'rules-invalid' },
  {
    why: 'a pattern that is none',
    answer: says({ result: 'success', authRules: { pub: ['('] } }),
    reason: 'rules-invalid',
  },
  {
    why: 'rules of two kinds',
    answer: says({ result: 'success', rules: [], authRules: { pub: [], sub: [] } }),
    reason: 'rules-invalid',
  },
  { why: '401 with a yes', answer: says({ result: 'success' }, 401), reason: 'service-refused' },
  { why: '403', answer: says({}, 403), reason: 'service-refused' },
  { why: '404', answer: says({ result: 'success' }, 404), reason: 'unavailable' },
  { why: '429', answer: says({ result: 'success' }, 429), reason: 'unavailable' },
  { why: '500 with a yes', answer: says({ result: 'success' }, 500), reason: 'unavailable' },
  { why: '503', answer: says({}, 503), reason: 'unavailable' },
  {
    why: 'a redirect to itself',
    answer: (res) => void res.writeHead(307, { location: '/yes' }).end(),
    reason: 'unavailable',
  },
  { why: 'too much', answer: says({ result: 'success', message: 'x'.repeat(70_000) }), reason: 'unavailable' },
  { why: 'a reset', answer: (res) => void res.socket?.resetAndDestroy(), reason: 'unavailable' },
  { why: 'silence', answer: () => {}, reason: 'unavailable' },
]
for (const { why, answer, reason } of refusedAnswers) {
  test(`http service: ${why} refuses with ${reason}`, async (t) => {
    const bench = await setUp(t, { timeout_ms: why === 'silence' ? 150 : 5_000 }, answer)
    assert.deepEqual(await bench.ask({}), { outcome: 'refuse', reason })
    assert.equal(bench.questions.length, 1)
    const told = JSON.stringify(bench.warnings)
    const isPlainNo = /^(a failure|FAILURE|40[13].*)$/.test(why) || reason === 'username-mismatch'
    assert.equal(
      bench.warnings.length,
      isPlainNo ? 0 : 1,
      'the operator hears of a service that does not answer as it should',
    )
    assert.ok(!told.includes('u1') && !told.includes('p1') && !told.includes('127.0.0.1'), told)
  })
}

test('http service: nobody listening refuses with `unavailable`', async (t) => {
  const bench = await setUp(t, { url: 'http://127.0.0.1:1/' }, says({ result: 'success' }))
  assert.deepEqual(await bench.ask({}), { outcome: 'refuse', reason: 'unavailable' })
  assert.equal(bench.warnings.length, 1)
})

test('http service: one that never answers is said to have been too slow, not to have been given up', async (t) => {
  const bench = await setUp(t, { timeout_ms: 50 }, () => {})
  for (let i = 0; i < 5; i++) {
    assert.deepEqual(await bench.ask({ clientId: `c${i}` }), { outcome: 'refuse', reason: 'unavailable' })
    bench.clock.pass(11_000)
  }
  assert.equal(bench.warnings.length, 5)
  for (const { why } of bench.warnings) assert.match(why, /^timeout: no answer within \d+ ms$/)
})

test('http service: a kept connection that the service has closed costs nobody a login', async (t) => {
  let questions = 0
  const bench = await setUp(t, {}, (res) => {
    if (++questions === 2) res.socket?.resetAndDestroy()
    else says({ result: 'success' })(res, {} as Question)
  })
  for (const clientId of ['c1', 'c2']) assert.equal((await bench.ask({ clientId })).outcome, 'success')
  assert.equal(questions, 3)
})

test('http service: skipped passes the question on', async (t) => {
  const bench = await setUp(t, {}, says({ result: 'SKIPPED' }))
  assert.deepEqual(await bench.ask({}), { outcome: 'skip', reason: 'unknown-user' })
})

test('http service: a yes makes an identity of what was asked and answered', async (t) => {
  const answer = {
    result: 'SUCCESS',
    clientType: 'APPLICATION',
    org: 'acme',
    groups: ['ops'],
    scopes: ['mqtt.read'],
    expiresIn: 600,
    message: 'hello',
  }
  const bench = await setUp(t, {}, says(answer))
  const accepted = (await bench.ask({ ip: '192.0.2.9', tls: true })) as Accepted
  assert.deepEqual(accepted.identity, {
    clientId: 'c1',
    ip: '192.0.2.9',
    tls: true,
    type: 'application',
    auth: 'http',
    username: 'u1',
    org: 'acme',
    groups: ['ops'],
    roles: [],
    scopes: ['mqtt.read'],
  })
  assert.equal(accepted.expiresAt, bench.clock.now() + 600_000)
  assert.ok(!('rules' in accepted))
  assert.equal(bench.provider.holds(accepted.grant), true)
  assert.equal(bench.provider.holds('another'), false)
  await bench.provider.close?.()
  assert.equal(bench.provider.holds(accepted.grant), false)
})

test('http service: a username that the service was not told stays out of the identity', async (t) => {
  const bench = await setUp(t, { body: { id: '${clientId}', p: '${password}' } }, says({ result: 'success' }))
  const accepted = (await bench.ask({ username: 'root' })) as Accepted
  assert.equal(accepted.identity.username, undefined)
  const named = await setUp(t, { body: { p: '${password}' } }, says({ result: 'success', username: 'u9' }))
  const verdict = (await named.provider.authenticate(
    { clientId: 'c', password: new Secret(bytes('p')) },
    never,
  )) as Accepted
  assert.equal(verdict.identity.username, 'u9')
})

test('http service: an answer lives no longer than the section says', async (t) => {
  const bench = await setUp(t, { session_s: 60 }, says({ result: 'success', expiresIn: 86_400 }))
  assert.equal(((await bench.ask({})) as Accepted).expiresAt, bench.clock.now() + 60_000)
})

test('http service: rules of ours and the lists of TBMQ become rules of the session', async (t) => {
  const rule = { id: 'own', effect: 'allow', actions: ['publish'], topics: ['a/b'] }
  const own = await setUp(t, {}, says({ result: 'success', rules: [rule] }))
  assert.equal(((await own.ask({})) as Accepted).rules?.rules.length, 1)
  const lists = await setUp(t, {}, says({ result: 'success', authRules: { pub: ['a/.*'], sub: [] } }))
  const allowedBy = (verdict: Verdict) =>
    ((verdict as Accepted).rules?.rules ?? []).filter(({ effect }) => effect === 'allow').map(({ actions }) => actions)
  assert.deepEqual(allowedBy(await lists.ask({})), [['publish']])
  const none = await setUp(t, {}, says({ result: 'success', authRules: { pub: [], sub: [] } }))
  const verdict = await none.ask({})
  assert.ok((verdict as Accepted).rules)
  assert.deepEqual(allowedBy(verdict), [])
})

test('http service: a common name is told once the certificate was verified, and only then', async (t) => {
  const certificates = await createCertificates()
  t.after(() => certificates.remove())
  const der = ({ certificate }: { certificate: string }) => [new X509Certificate(certificate).raw]
  const settings = { client_ca: { file: certificates.caFile }, body: { cn: '${commonName}' } }
  const bench = await setUp(t, settings, says({ result: 'success' }))
  const accepted = (await bench.ask({ certificates: der(certificates.client) })) as Accepted
  assert.equal(bench.questions[0]?.body, '{"cn":"device-1"}')
  assert.equal(accepted.identity.username, undefined)
  const foreign = await bench.ask({ certificates: der(certificates.foreignClient) })
  assert.deepEqual(foreign, { outcome: 'skip', reason: 'no-credentials' })
  assert.deepEqual(await bench.ask({}), { outcome: 'skip', reason: 'no-credentials' })
  const refusals = [
    { certificates: der(certificates.expiredClient), reason: 'certificate-expired' },
    { certificates: der(certificates.server), reason: 'certificate-untrusted' },
    { certificates: [new Uint8Array([1, 2, 3])], reason: 'certificate-untrusted' },
    { certificates: Array(11).fill(der(certificates.client)[0]), reason: 'certificate-untrusted' },
  ]
  for (const { certificates: presented, reason } of refusals) {
    assert.deepEqual(await bench.ask({ certificates: presented }), { outcome: 'refuse', reason })
  }
  assert.equal(bench.questions.length, 1)
  const ends = Date.parse(new X509Certificate(certificates.ca).validTo)
  assert.ok((accepted.expiresAt ?? Number.POSITIVE_INFINITY) <= ends)
})

for (const { why, section } of [
  {
    why: 'a client_ca that is no PEM',
    section: { client_ca: { env: 'SERVICE_TOKEN' }, body: { cn: '${commonName}' } },
  },
  { why: 'a ca that is no PEM', section: { tls: { ca: { env: 'SERVICE_TOKEN' } } } },
  {
    why: 'a key that is no PEM',
    section: { tls: { certificate: { env: 'SERVICE_TOKEN' }, key: { env: 'SERVICE_TOKEN' } } },
  },
  { why: 'a secret that is not there', section: { headers: { 'x-token': { env: 'ABSENT' } } } },
]) {
  test(`http service: ${why} stops the start, and nothing of it is told`, async (t) => {
    await assert.rejects(setUp(t, section, says({ result: 'success' })), (err: Error) => {
      assert.ok(err instanceof SecretUnavailable)
      assert.ok(!err.message.includes('s3cret'))
      return true
    })
  })
}

test('http service: our own secrets go into headers, and nothing of them anywhere else', async (t) => {
  const headers = { Authorization: { env: 'SERVICE_TOKEN' }, 'X-Client': '${clientId}' }
  const token = await setUp(t, { headers }, says({ result: 'failure' }))
  await token.ask({})
  assert.equal(token.questions[0]?.headers['authorization'], 'Bearer s3cret')
  assert.equal(token.questions[0]?.headers['x-client'], 'c1')
  const basic = { username: 'sealwire', password: { env: 'SERVICE_PASSWORD' } }
  const login = await setUp(t, { basic }, says({ result: 'failure' }))
  await login.ask({})
  const sent = login.questions[0]?.headers['authorization']?.replace('Basic ', '') ?? ''
  assert.equal(Buffer.from(sent, 'base64').toString(), 'sealwire:pa:ss')
})

test('http service: the same question under way is asked once, and a yes serves it for five seconds and no longer', async (t) => {
  const held = Promise.withResolvers<void>()
  const bench = await setUp(t, {}, async (res) => {
    await held.promise
    says({ result: 'success' })(res, undefined as never)
  })
  const both = [bench.ask({}), bench.ask({}), bench.ask({ password: new Secret(bytes('p2')) })]
  while (bench.questions.length < 2) await delay(1)
  held.resolve()
  assert.deepEqual(
    (await Promise.all(both)).map(({ outcome }) => outcome),
    ['success', 'success', 'success'],
  )
  await bench.ask({})
  assert.equal(bench.questions.length, 2)
  assert.equal((await bench.ask({ username: 'u2' })).outcome, 'success')
  assert.equal(bench.questions.length, 3) // another question
  bench.clock.pass(5_000)
  await bench.ask({})
  assert.equal(bench.questions.length, 4)
})

test('http service: what is remembered of long answers takes no more memory than it may', async (t) => {
  const groups = Array.from({ length: 256 }, (_, i) => `${i}`.padEnd(220, 'g'))
  const bench = await setUp(t, {}, says({ result: 'success', groups }))
  const names = Array.from({ length: 100 }, (_, i) => `u${i}`)
  const all = await Promise.all(names.map((username) => bench.ask({ username })))
  assert.ok(all.every(({ outcome }) => outcome === 'success'))
  assert.equal(bench.questions.length, names.length)
  await Promise.all(names.map((username) => bench.ask({ username })))
  assert.ok(bench.questions.length >= names.length + 20, `${bench.questions.length}: some had to be asked again`)
})

test('http service: an empty username is none, so that the one of the answer counts', async (t) => {
  const bench = await setUp(t, { body: { token: '${token}' } }, says({ result: 'success', username: 'anna' }))
  const verdict = await bench.ask({ username: '', bearer: new Secret('t') })
  assert.ok(verdict.outcome === 'success', JSON.stringify(verdict))
  assert.equal(verdict.identity.username, 'anna')
  const other = await bench.ask({ username: 'boris', bearer: new Secret('t') })
  assert.deepEqual(other, { outcome: 'refuse', reason: 'username-mismatch' })
})

test('http service: who waits no longer is refused, and finds the answer at the next try', async (t) => {
  const held = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  const bench = await setUp(t, {}, async (res, question) => {
    await held.promise
    says({ result: 'success' })(res, question)
    answered.resolve()
  })
  const wait = new AbortController()
  const asked = bench.ask({}, wait.signal)
  while (bench.questions.length === 0) await delay(1)
  wait.abort()
  assert.deepEqual(await asked, { outcome: 'refuse', reason: 'unavailable' })
  const again = bench.ask({}) // while the first question is still under way
  held.resolve()
  await answered.promise
  assert.equal((await again).outcome, 'success')
  assert.equal((await bench.ask({})).outcome, 'success')
  assert.equal(bench.questions.length, 1)
})

test('http service: a no is never remembered', async (t) => {
  let result = 'failure'
  const bench = await setUp(t, {}, (res, question) => says({ result })(res, question))
  assert.equal((await bench.ask({})).outcome, 'refuse')
  result = 'success'
  assert.equal((await bench.ask({})).outcome, 'success')
})

test('http service: more than may wait are refused at once, and what was begun ends', async (t) => {
  const held: ServerResponse[] = []
  const bench = await setUp(t, { parallel: 2, waiting: 1 }, (res) => void held.push(res))
  const asked = ['a', 'b', 'c'].map((username) => bench.ask({ username }))
  while (held.length < 2) await delay(1)
  assert.deepEqual(await bench.ask({ username: 'd' }), { outcome: 'refuse', reason: 'unavailable' })
  assert.equal(bench.questions.length, 2)
  for (const res of held.splice(0)) says({ result: 'success' })(res, undefined as never)
  while (held.length < 1) await delay(1)
  for (const res of held.splice(0)) says({ result: 'success' })(res, undefined as never)
  assert.deepEqual(
    (await Promise.all(asked)).map(({ outcome }) => outcome),
    ['success', 'success', 'success'],
  )
})

test('http service: one address with many names leaves room for the others', async (t) => {
  const held: ServerResponse[] = []
  const bench = await setUp(t, { parallel: 2, waiting: 10 }, (res) => void held.push(res))
  const names = Array.from({ length: 12 }, (_, i) => `name-${i}`)
  const crowd = names.map((username) => bench.ask({ username, ip: '192.0.2.1' }))
  const other = bench.ask({ username: 'other', ip: '192.0.2.2' })
  const all = Promise.all([other, ...crowd])
  let isOver = false
  void all.then(() => {
    isOver = true
  })
  while (!isOver) {
    for (const res of held.splice(0)) says({ result: 'success' })(res, undefined as never)
    await delay(1)
  }
  const [mine, ...theirs] = (await all).map(({ outcome }) => outcome)
  assert.equal(mine, 'success')
  assert.equal(theirs.filter((outcome) => outcome === 'success').length, 8, 'two thirds of twelve places')
})

test('http service: the wait in the queue counts, and one that has waited too long is never asked', async (t) => {
  const bench = await setUp(t, { parallel: 1, waiting: 5, timeout_ms: 150 }, () => {})
  const verdicts = await Promise.all(['a', 'b'].map((username) => bench.ask({ username })))
  assert.deepEqual(verdicts, [
    { outcome: 'refuse', reason: 'unavailable' },
    { outcome: 'refuse', reason: 'unavailable' },
  ])
  assert.ok(bench.questions.length <= 2)
})

const invalid: readonly { why: string; settings: object; says: RegExp }[] = [
  { why: 'an unknown placeholder', settings: { body: { a: '${user}' } }, says: /unknown placeholder/ },
  { why: 'an open placeholder', settings: { body: { a: '${username' } }, says: /not closed/ },
  { why: 'a nested placeholder', settings: { body: { a: '${user${name}}' } }, says: /not closed|unknown/ },
  { why: 'no placeholder at all', settings: { body: { a: 'b' } }, says: /never know who asks/ },
  { why: 'GET with a body', settings: { method: 'GET', body: { a: '${username}' } }, says: /GET has no body/ },
  { why: 'a form beside a body', settings: { form: { a: '${username}' }, body: {} }, says: /one of them/ },
  { why: 'a placeholder in the URL', settings: { url: 'http://service/${username}' }, says: /must be an http/ },
  { why: 'a password in the URL', settings: { url: 'http://u:p@service/' }, says: /must be an http/ },
  { why: 'no web URL', settings: { url: 'ftp://service/' }, says: /must be an http/ },
  { why: 'a header of HTTP', settings: { headers: { Host: '${username}' } }, says: /set by us/ },
  { why: 'a header of two lines', settings: { headers: { 'a\nb': '${username}' } }, says: /name of a header/ },
  { why: 'a common name without a CA', settings: { body: { cn: '${commonName?}' } }, says: /before it was verified/ },
  { why: 'an unknown member', settings: { timeout: 5 }, says: /[Uu]nrecognized/ },
  { why: 'a key without its certificate', settings: { tls: { key: { env: 'K' } } }, says: /both/ },
  {
    why: 'two ways to authorise',
    settings: { headers: { authorization: { env: 'A' } }, basic: { username: 'a', password: { env: 'B' } } },
    says: /beside a header/,
  },
]
for (const { why, settings, says: expected } of invalid) {
  test(`http service: a section with ${why} is refused at the start`, () => {
    const parsed = httpProviderSchema.safeParse({ type: 'http', url: 'http://service.example/', ...settings })
    assert.equal(parsed.success, false)
    assert.match(JSON.stringify(parsed.error?.issues), expected)
  })
}
