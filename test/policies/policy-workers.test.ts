import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import type { ImportJob, SimulationJob } from '#src/policies/judge.ts'
import { createPolicyWorkers, type PolicyWorkersOptions } from '#src/policies/policy-workers.ts'
import { patience } from '#test/support/patience.ts'
import { documentOf, errorOf, problemsOf, testOf } from './parts.ts'

const workers = createPolicyWorkers()
after(() => workers.close())

const textOf = (document: unknown) => JSON.stringify(document)
const rulesOf = (rules: unknown[]) => textOf({ ...documentOf('a'), rules })
const allow = (id: string, topics: unknown[]) => ({ id, effect: 'allow', actions: ['publish', 'subscribe'], topics })

/** As much as a request may bring. */
const MIB = 1024 * 1024
const deep = `${'['.repeat(30)}${']'.repeat(30)}`
const many = (make: (i: number) => unknown) => {
  const one = textOf(make(0)).length + 8
  return Array.from({ length: Math.floor(MIB / one) }, (_, i) => make(i))
}

const nestedWhen = (depth: number) => JSON.parse(`${'{"anyOf":['.repeat(depth)}{}${']}'.repeat(depth)}`) as unknown

const hostile: { what: string; text: string; problem?: RegExp }[] = [
  { what: 'a list nested 30 deep', text: deep, problem: /object/ },
  { what: 'a member 30 deep', text: `{"schema":"mqtt-policy/1","id":"a","rules":${deep}}`, problem: /object/ },
  {
    what: '__proto__',
    text: '{"schema":"mqtt-policy/1","id":"a","rules":[],"__proto__":{"rules":[]}}',
    problem: /unknown/,
  },
  {
    what: 'a schema from __proto__',
    text: '{"__proto__":{"schema":"mqtt-policy/1","id":"a","rules":[]}}',
    problem: /schema|unknown/,
  },
  { what: 'constructor as an alias', text: textOf(documentOf('a', { aliases: { constructor: 'sub' } })) },
  {
    what: '1 MiB of unknown members',
    text: textOf(Object.fromEntries(many(() => 0).map((zero, i) => [`m${i}`, zero]))),
    problem: /unknown/,
  },
  { what: '1 MiB of rules without anything', text: rulesOf(many(() => ({ id: '' }))), problem: /required/ },
  { what: '1 MiB of rules', text: rulesOf(many((i) => allow(`r${i}`, [`t/${i}/#`]))) },
  { what: '1 MiB of one topic', text: rulesOf([allow('r', ['x'.repeat(MIB - 300)])]), problem: /./ },
  { what: 'a filter of 100,000 levels', text: rulesOf([allow('r', ['a/'.repeat(100_000)])]), problem: /./ },
  { what: 'a regex that explodes elsewhere', text: rulesOf([allow('r', [{ regex: '(a+)+(a+)+(a|a)*b' }])]) },
  {
    what: 'counted repetitions of repetitions',
    text: rulesOf([allow('r', [{ regex: '((a{1,200}){1,200}){1,200}' }])]),
    problem: /./,
  },
  { what: '1 MiB of one regex', text: rulesOf([allow('r', [{ regex: '(a|b)?'.repeat(150_000) }])]), problem: /./ },
  {
    what: 'a regex of 10,000 groups',
    text: rulesOf([allow('r', [{ regex: `${'('.repeat(10_000)}a${')'.repeat(10_000)}` }])]),
    problem: /./,
  },
  { what: 'a look-behind', text: rulesOf([allow('r', [{ regex: '(?<=a)b' }])]), problem: /./ },
  { what: 'a when nested as deep as it may be', text: rulesOf([{ ...allow('r', ['a']), when: nestedWhen(7) }]) },
  { what: 'a when nested deeper', text: rulesOf([{ ...allow('r', ['a']), when: nestedWhen(12) }]), problem: /deeper/ },
]

describe('a hostile document is judged in bounded time', () => {
  for (const { what, text, problem } of hostile) {
    test(what, async () => {
      const start = performance.now()
      let told: string
      try {
        const { problems, rules } = await workers.run('ten_1', 'examine', { text, lint: true })
        told = problems.map(({ path, message }) => `${path}: ${message}`).join('\n')
        assert.ok(problems.length <= 100)
        assert.ok(problems.length > 0 || rules > 0)
      } catch (err) {
        assert.ok(err instanceof AppError && err.code === 'policy.invalid', String(err))
        told = err.message
      }
      const tookMs = performance.now() - start
      if (problem) assert.match(told, problem)
      else assert.equal(told, '')
      assert.ok(told.length < 100_000, `${told.length} characters`)
      assert.ok(tookMs < patience(21_000), `${tookMs} ms`)
      assert.equal(({} as { rules?: unknown }).rules, undefined)
    })
  }

  test('and the event loop goes on meanwhile', async () => {
    let longestMs = 0
    let last = performance.now()
    const ticks = setInterval(() => {
      const now = performance.now()
      longestMs = Math.max(longestMs, now - last)
      last = now
    }, 5)
    const text = rulesOf(many((i) => allow(`r${i}`, [{ regex: `t/${i}/(a|b)+.*` }])))
    await workers.run('ten_1', 'examine', { text, lint: true })
    clearInterval(ticks)
    assert.ok(longestMs < patience(500), `${longestMs} ms without a turn`)
  })
})

test('tests, warnings and the number of rules are told', async () => {
  const text = textOf(documentOf('a', { tests: [testOf('a'), testOf('b'), testOf('a')] }))
  const { problems, tests, failed, failedTests, rules } = await workers.run('ten_1', 'examine', { text, lint: true })
  assert.deepEqual([problems, tests, failed, failedTests.length, rules], [[], 3, 1, 1, 1])
  const { warnings } = await workers.run('ten_1', 'examine', { text: rulesOf([allow('all', ['#'])]), lint: true })
  assert.ok(
    warnings.some(({ path }) => path.startsWith('rules[0]')),
    JSON.stringify(warnings),
  )
})

const job = (more: Partial<SimulationJob> = {}): SimulationJob => ({
  text: textOf(documentOf('a')),
  identity: {},
  requests: [
    { action: 'publish', topic: 'a/t' },
    { action: 'publish', topic: 'b/t' },
    { action: 'publish', topic: 'a/#' },
  ],
  delivery: true,
  trace: true,
  ...more,
})

describe('simulating', () => {
  test('decides in order, and tells a step for every rule when asked', async () => {
    const traced = await workers.run('ten_1', 'simulate', job())
    assert.deepEqual(
      traced.map(({ decision, reason, rule }) => [decision, reason, rule]),
      [
        ['allow', 'rule', 'own'],
        ['deny', 'default', null],
        ['deny', 'invalid-topic:wildcard-in-name', null],
      ],
    )
    assert.deepEqual(
      traced[0]?.trace?.map(({ rule, applies }) => [rule, applies]),
      [['own', true]],
    )
    const bare = await workers.run('ten_1', 'simulate', job({ trace: false }))
    assert.deepEqual(
      bare,
      traced.map(({ decision, reason, rule, qos, retain }) => ({ decision, reason, rule, qos, retain })),
    )
  })

  test('a surface without delivery checks grants nothing as filtered', async () => {
    const document = { ...documentOf('a'), options: { subscribe: 'filtered' } }
    const rules = [{ id: 'own', effect: 'allow', actions: ['subscribe'], topics: ['a/#'] }]
    const text = textOf({ ...document, rules })
    const requests = [{ action: 'subscribe', topic: '#' } as const]
    const reasons = async (delivery: boolean) =>
      (await workers.run('ten_1', 'simulate', job({ text, requests, delivery }))).map(({ reason }) => reason)
    assert.deepEqual([await reasons(true), await reasons(false)], [['filtered'], ['default']])
  })

  test('an answer over 4 MiB is refused and says what to do; without traces it fits', async () => {
    const text = rulesOf(Array.from({ length: 1000 }, (_, i) => allow(`rule-${i}`, [`t/${i}/#`])))
    const requests = Array.from({ length: 1000 }, () => ({ action: 'publish', topic: 't/1/x' }) as const)
    const { message } = await errorOf(workers.run('ten_1', 'simulate', job({ text, requests })), 'request.invalid')
    assert.match(message, /4 MiB.*trace: false/)
    assert.equal((await workers.run('ten_1', 'simulate', job({ text, requests, trace: false }))).length, 1000)
  })

  test('a document that is none is refused with its problems', async () => {
    const refused = await errorOf(workers.run('ten_1', 'simulate', job({ text: '{}' })), 'policy.invalid')
    assert.ok(problemsOf(refused).some(({ path }) => path === 'schema'))
  })
})

const source = (json: unknown, more: Partial<ImportJob> = {}): ImportJob => ({
  dialect: 'mosquitto',
  json: JSON.stringify(json),
  options: {},
  ...more,
})

test('importing answers a document that passes, with notes; what cannot be expressed is refused with its place', async () => {
  const { document, notes } = await workers.run(
    'ten_1',
    'import',
    source('topic write sensors/#\n', { options: { id: 'mine' } }),
  )
  assert.equal(document.id, 'mine')
  assert.ok(Array.isArray(notes))
  assert.deepEqual((await workers.run('ten_1', 'examine', { text: textOf(document), lint: false })).problems, [])
  const refused = await errorOf(workers.run('ten_1', 'import', source('topic write a/#/b\n')), 'policy.invalid')
  assert.match(problemsOf(refused)[0]?.path ?? '', /line 1/)
})

describe('limits', () => {
  async function withWorkers(options: PolicyWorkersOptions, work: (own: typeof workers) => Promise<void>) {
    const own = createPolicyWorkers(options)
    try {
      await work(own)
    } finally {
      await own.close()
    }
  }
  const heavy = { text: rulesOf(many((i) => allow(`r${i}`, [{ regex: `t/${i}/(a|b)+.*` }]))), lint: false }
  const light = { text: textOf(documentOf('a')), lint: false }

  test('a job that takes too long is ended and refused, and the next one runs on another thread', async () => {
    await withWorkers({ count: 1, timeLimitMs: 5 }, async (own) => {
      await own.run('ten_1', 'examine', light) // the first one has time to start
      const refused = await errorOf(own.run('ten_1', 'examine', heavy), 'policy.invalid')
      assert.match(refused.message, /time or memory/)
      assert.equal(problemsOf(refused)[0]?.path, '')
      assert.equal((await own.run('ten_1', 'examine', light)).rules, 1)
    })
  })

  test('requests that each cost a lot are ended together, after their time', async () => {
    const rules = Array.from({ length: 2000 }, (_, i) => allow(`r${i}`, [{ regex: `(a|b)*${i}(a|b){1,20}/.*` }]))
    const requests = Array.from({ length: 1000 }, (_, i) => ({ action: 'subscribe', topic: `+/${i}/#` }) as const)
    await withWorkers({ count: 1, timeLimitMs: 300 }, async (own) => {
      await own.run('ten_1', 'examine', light)
      const start = performance.now()
      await errorOf(own.run('ten_1', 'simulate', job({ text: rulesOf(rules), requests })), 'policy.invalid')
      const tookMs = performance.now() - start
      assert.ok(tookMs < patience(3_000), `${tookMs} ms`)
    })
  })

  test('a job that takes too much memory is ended and refused, and the next one runs on another thread', async () => {
    const large = {
      text: rulesOf(Array.from({ length: 40_000 }, (_, i) => allow(`r${i}`, [`a/${i}/+/b`]))),
      lint: false,
    }
    await withWorkers({ count: 1, memoryMb: 24 }, async (own) => {
      const refused = await errorOf(own.run('ten_1', 'examine', large), 'policy.invalid')
      assert.match(refused.message, /time or memory/)
      assert.equal((await own.run('ten_1', 'examine', light)).rules, 1)
    })
  })

  test('a tenant waits behind itself only: the other one is served while its jobs queue', async () => {
    await withWorkers({ count: 2 }, async (own) => {
      await Promise.all(['ten_1', 'ten_2'].map((tenant) => own.run(tenant, 'examine', light)))
      const done: string[] = []
      const run = (tenant: string, what: typeof light) =>
        own.run(tenant, 'examine', what).then(() => void done.push(tenant))
      await Promise.all([run('ten_1', heavy), run('ten_1', heavy), run('ten_2', light)])
      assert.deepEqual(done, ['ten_2', 'ten_1', 'ten_1'])
    })
  })

  test('a fifth job of a tenant is refused for now, and taken once one is done', async () => {
    await withWorkers({ count: 1 }, async (own) => {
      const four = Array.from({ length: 4 }, () => own.run('ten_1', 'examine', light))
      const { retryAfterS } = await errorOf(own.run('ten_1', 'examine', light), 'rate.limited')
      assert.equal(retryAfterS, 1)
      const other = own.run('ten_2', 'examine', light)
      await Promise.all([...four, other])
      assert.equal((await own.run('ten_1', 'examine', light)).rules, 1)
    })
  })

  test('closing refuses what runs and what waits', async () => {
    const own = createPolicyWorkers({ count: 1 })
    const jobs = [1, 2].map(() => errorOf(own.run('ten_1', 'examine', heavy), 'rate.limited'))
    await own.close()
    assert.equal((await Promise.all(jobs)).length, 2)
  })
})
