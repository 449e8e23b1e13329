// One test for each broker and failure, against the whole server: what the broker was told, that the fault was there, and that the
// server told its operators.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { PolicyDocument } from '#src/policy/document.ts'
import { closedPort } from '#test/support/black-hole.ts'
import { type HookConfig, type HookedDeployment, type HookUser, serveHooks } from '#test/support/hooked-deployment.ts'
import { exchange } from '#test/support/raw-exchange.ts'
import { type BrokerCase, type BrokerRequest, brokers, type Failure, failures } from './failure-cases.ts'

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'failures',
  rules: [{ id: 'ok', effect: 'allow', actions: ['publish'], topics: ['ok/#'] }],
}
/** One user for each broker, so that revoking one leaves the others. */
const userOf = (dialect: string): HookUser => ({ username: `user-${dialect}`, password: 'right' })
const DEADLINE_MS = 250
/** Beyond the deadline, on a machine that does other things too. */
const SLACK_MS = 2_000
const REVOKED_WITHIN_MS = 5_000
const MOST_BYTES = 256 * 1024

function configureWith(closed: number, hanging: number) {
  return ({ version, providers, hooks: [section] }: HookConfig): unknown => {
    const { secret, ...open } = section
    const near = { ...open, addresses: ['127.0.0.1/32'] }
    const service = (port: number) => ({ type: 'http', url: `http://127.0.0.1:${port}/`, timeout_ms: 20_000 })
    return {
      version,
      providers: { ...providers, down: service(closed), slow: service(hanging) },
      hooks: brokers.flatMap(({ dialect }) => [
        { ...near, dialect, name: dialect },
        { ...near, dialect, name: `${dialect}-down`, providers: ['down'] },
        { ...near, dialect, name: `${dialect}-slow`, providers: ['slow'], deadline_ms: DEADLINE_MS },
        { ...open, dialect, name: `${dialect}-secret`, secret },
      ]),
    }
  }
}

describe('failures', () => {
  let deployment: HookedDeployment
  let hanging: Server
  let hung = 0
  let closed: number
  /** What the audit log has to say in the end, one row each. */
  const recorded: { hook: string; question: string; answer: string }[] = []

  before(async () => {
    closed = await closedPort()
    hanging = createServer(() => hung++).listen(0, '127.0.0.1') // takes every request and answers none
    await once(hanging, 'listening')
    deployment = await serveHooks({
      document,
      users: brokers.map(({ dialect }) => userOf(dialect)),
      configure: configureWith(closed, (hanging.address() as AddressInfo).port),
    })
  })
  after(async () => {
    hanging.closeAllConnections()
    hanging.close()
    await deployment?.close() // absent where it did not start
  })

  async function ask(hook: string, { path, headers, body }: BrokerRequest): Promise<string> {
    const head = [
      `POST /mqtt/hooks/${hook}${path} HTTP/1.1`,
      'host: broker',
      `content-length: ${Buffer.byteLength(body)}`,
      ...headers,
    ]
    const {
      statusLine,
      headers: answered,
      body: told,
    } = await exchange(deployment.port, `${head.join('\r\n')}\r\n\r\n${body}`)
    assert.ok(answered.includes('cache-control: no-store'), answered.join('\n'))
    return `${statusLine.split(' ')[1]} ${told}`
  }

  const whoOf = ({ dialect }: BrokerCase) => ({ ...userOf(dialect), clientId: `client-${dialect}` })

  const counted = (hook: string, question: string, answer: string) =>
    deployment.metric('sealwire_hook_answers_total', `hook="${hook}",question="${question}",outcome="${answer}"`)

  async function logIn(broker: BrokerCase): Promise<void> {
    assert.match(await ask(broker.dialect, broker.login(whoOf(broker))), broker.accepted)
    if (broker.publish) assert.match(await ask(broker.dialect, broker.publish(whoOf(broker))), broker.allowed)
  }

  /** Until a change of the users file is there. */
  async function untilAccepted(broker: BrokerCase): Promise<void> {
    const started = performance.now()
    while (!broker.accepted.test(await ask(broker.dialect, broker.login(whoOf(broker))))) {
      assert.ok(performance.now() - started < REVOKED_WITHIN_MS, 'still refused')
      await delay(50)
    }
  }

  /** Brings a failure about; what the broker is told, and what of it is recorded. */
  const scenes: Record<
    Failure,
    (broker: BrokerCase) => Promise<{ told: string; question: string; answer: string; hook: string }>
  > = {
    async down(broker) {
      await assert.rejects(fetch(`http://127.0.0.1:${closed}/`), (err: Error) =>
        /ECONNREFUSED/.test(String((err.cause as Error & { code?: string }).code)),
      )
      const hook = `${broker.dialect}-down`
      return { told: await ask(hook, broker.login(whoOf(broker))), question: 'login', answer: 'unavailable', hook }
    },
    async slow(broker) {
      const [hook, before] = [`${broker.dialect}-slow`, hung]
      const started = performance.now()
      const told = await ask(hook, broker.login(whoOf(broker)))
      const took = performance.now() - started
      assert.equal(hung, before + 1, 'the service was asked, and has not answered')
      assert.ok(took >= DEADLINE_MS - 20 && took < DEADLINE_MS + SLACK_MS, `${took} ms`)
      return { told, question: 'login', answer: 'late', hook }
    },
    async malformed(broker) {
      const { path, headers } = broker.login(whoOf(broker))
      const body = headers.some((line) => /urlencoded/.test(line)) ? 'username=%zz' : '{"username":'
      return {
        told: await ask(broker.dialect, { path, headers, body }),
        question: 'none',
        answer: 'malformed',
        hook: broker.dialect,
      }
    },
    async oversize(broker) {
      const login = broker.login({ ...whoOf(broker), password: 'p'.repeat(MOST_BYTES) })
      assert.ok(login.body.length > MOST_BYTES)
      return { told: await ask(broker.dialect, login), question: 'none', answer: 'too-large', hook: broker.dialect }
    },
    async 'unknown user'(broker) {
      const told = await ask(broker.dialect, broker.login({ ...whoOf(broker), username: 'nobody' }))
      const wrong = await ask(broker.dialect, broker.login({ ...whoOf(broker), password: 'wrong' }))
      assert.equal(told, wrong, 'a broker is not told which names there are')
      return { told, question: 'login', answer: 'refused:unknown-user', hook: broker.dialect }
    },
    async revoked(broker) {
      await logIn(broker)
      await deployment.writeUsers(
        brokers.map(({ dialect }) => ({ ...userOf(dialect), enabled: dialect !== broker.dialect })),
      )
      const started = performance.now()
      const question = () => ask(broker.dialect, (broker.publish ?? broker.login)(whoOf(broker)))
      let told = await question()
      while ((broker.publish ? broker.allowed : broker.accepted).test(told)) {
        assert.ok(performance.now() - started < REVOKED_WITHIN_MS, 'still allowed')
        await delay(50)
        told = await question()
      }
      assert.ok(performance.now() - started < REVOKED_WITHIN_MS)
      const again = await ask(broker.dialect, broker.login(whoOf(broker)))
      assert.doesNotMatch(again, broker.accepted)
      await deployment.writeUsers(brokers.map(({ dialect }) => userOf(dialect)))
      await untilAccepted(broker)
      return broker.publish
        ? { told, question: 'access', answer: 'no-session', hook: broker.dialect }
        : { told, question: 'login', answer: 'refused:disabled', hook: broker.dialect }
    },
    async stranger(broker) {
      const hook = `${broker.dialect}-secret`
      const { path, ...rest } = broker.login(whoOf(broker))
      assert.match(await ask(hook, { path: `/${deployment.secret}${path}`, ...rest }), broker.accepted)
      const wrong = deployment.secret.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
      const told = await ask(hook, { path: `/${wrong}${path}`, ...rest })
      assert.equal(await ask(hook, { path, ...rest }), told, 'no secret at all')
      return { told, question: 'none', answer: 'stranger', hook }
    },
  }

  for (const broker of brokers) {
    for (const failure of failures) {
      test(`${broker.dialect}, ${failure}: ${broker.means[failure]}`, async () => {
        const { told, hook, question, answer } = await scenes[failure](broker)
        const { status, body } = broker.told[failure]
        assert.equal(told, `${status} ${body}`)
        assert.ok((await counted(hook, question, answer)) >= 1, `${hook} ${question} ${answer} is not counted`)
        recorded.push({ hook, question, answer })
      })
    }

    test(`${broker.dialect}: goes on as before`, () => logIn(broker))
  }

  test('the audit log has a row for every failure', async () => {
    assert.equal(recorded.length, brokers.length * failures.length, 'a cell did not run')
    await deployment.restart('SIGTERM') // the minute that runs is written then
    const rows = (await deployment.audit('broker_auth.summary')).map(({ outcome, detail }) => ({ outcome, ...detail }))
    for (const { hook, question, answer } of recorded) {
      const found = rows.find((row) => row.hook === hook && row.question === question && row.answer === answer)
      assert.ok(found, `no row for ${hook} ${question} ${answer} in ${JSON.stringify(rows)}`)
      assert.equal(found.outcome, 'denied')
      assert.ok(Number(found.count) >= 1)
    }
  })
})
