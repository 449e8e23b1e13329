import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CelineSubject } from './celine-model.ts'
import { derivedScopesAllow } from './celine-scopes-model.ts'
import { celineIdentity } from './celine-subject.ts'
import { assertRefused, hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const policy = imported('celine-scopes', {})
const names = [
  ...levelTexts(['dt', 'runs', ''], 3).map((rest) => `celine/${rest}`),
  'celine',
  'other/dt/runs',
  '$celine/dt',
]
const filters = [...filterTexts(['dt', 'runs'], 3).map((rest) => `celine/${rest}`), '#', '+/dt/runs', 'other/#']

const grants = [
  'dt.runs.read',
  'dt.runs.write',
  'dt.runs.*',
  'dt.admin',
  'mqtt:dt:runs:read',
  'mqtt:dt:runs:write',
  'mqtt:dt:runs:*',
  'mqtt:dt:admin',
  'admin',
  'mqtt.admin',
  'runs.dt.read',
  '.admin',
  '+.admin',
  '#.admin',
  'dt.+.read',
]
const subjects: fc.Arbitrary<CelineSubject> = fc.record({
  id: fc.constant('x'),
  type: fc.constantFrom('user' as const, 'service' as const, 'anonymous' as const),
  groups: fc.subarray(grants, { maxLength: 3 }),
  scopes: fc.subarray(grants, { maxLength: 3 }),
})

test('every topic name, and every filter as a text, is decided as by the derived scope', (t) => {
  let allowed = 0
  forEvery(t, subjects, 300, (who) => {
    const subject = policy.as(celineIdentity(who))
    for (const name of names) {
      for (const [asked, action] of [
        ['publish', 'publish'],
        ['receive', 'read'],
      ] as const)
        assert.equal(
          subject.allows(asked, name),
          derivedScopesAllow(who, action, name),
          `${asked} ${name} of ${JSON.stringify(who)}`,
        )
    }
    for (const filter of [...names, ...filters]) {
      const expected = derivedScopesAllow(who, 'subscribe', filter)
      const isOddService =
        /^celine\/[+#](\/|$)/.test(filter) && who.scopes.concat(who.groups).some((grant) => /[+#]/.test(grant))
      if (isOddService) continue // a grant for a service called + or # is none here
      assert.equal(subject.allows('subscribe', filter), expected, `subscribe ${filter} of ${JSON.stringify(who)}`)
      if (expected) allowed++
    }
  })
  t.diagnostic(`${allowed} filters allowed`)
  assert.ok(allowed > 500)
})

const table: readonly [
  who: Partial<CelineSubject>,
  topic: string,
  action: 'subscribe' | 'publish',
  allowed: boolean,
][] = [
  [{ type: 'service', scopes: ['pipelines.runs.read'] }, 'celine/pipelines/runs/job-1', 'subscribe', true],
  [{ type: 'service', scopes: ['pipelines.runs.read'] }, 'celine/pipelines/runs/+', 'subscribe', true],
  [{ type: 'service', scopes: ['pipelines.runs.read'] }, 'other/pipelines/runs', 'subscribe', false],
  [{ type: 'service', scopes: ['pipelines.runs.read'] }, 'celine/pipelines/runs/j', 'publish', false],
  [{ type: 'service', scopes: ['pipelines.runs.*'] }, 'celine/pipelines/runs/j', 'publish', true],
  [{ type: 'service', scopes: ['pipelines.admin'] }, 'celine/dt/simulation/s', 'subscribe', false],
  [{ type: 'service', scopes: ['pipelines.admin'] }, 'celine/pipelines/#', 'subscribe', true],
  [{ type: 'service', scopes: ['pipelines.admin'] }, 'celine/pipelines//j', 'subscribe', true],
  [{ type: 'service', scopes: ['celine.admin', 'pipelines.admin'] }, 'celine', 'subscribe', false],
  [{ type: 'service', groups: ['pipelines.runs.read', 'admin'] }, 'celine/pipelines/runs/j', 'subscribe', false],
  [{ type: 'user', groups: ['mqtt:pipelines:runs:*'] }, 'celine/pipelines/runs/j', 'publish', true],
  [{ type: 'user', groups: ['admin'] }, 'celine/dt/simulation/s', 'publish', true],
  [{ type: 'user', groups: ['admin'] }, 'celine/pipelines/#', 'subscribe', true],
  [{ type: 'user', groups: ['admin'] }, '#', 'subscribe', false],
  [{ type: 'user', groups: ['viewers'] }, 'celine/pipelines/runs/j', 'subscribe', false],
  [{ type: 'user', scopes: ['pipelines.runs.read'] }, 'celine/pipelines/runs/j', 'subscribe', false],
  [{ type: 'anonymous', scopes: ['pipelines.admin'], groups: ['admin'] }, 'celine/pipelines', 'subscribe', false],
]
for (const [who, topic, action, allowed] of table)
  test(`derived scopes: ${JSON.stringify(who)} ${allowed ? 'may' : 'may not'} ${action} ${topic}`, () => {
    const subject = { id: 'x', type: 'anonymous' as const, groups: [], scopes: [], ...who }
    assert.equal(policy.as(celineIdentity(subject)).allows(action, topic), allowed)
  })

test('a delivery is judged by what may be read, not by the filter that was granted', () => {
  const subject = policy.as({ type: 'user', scopes: ['dt.admin'] })
  assert.ok(subject.allows('subscribe', 'celine/dt/#'))
  assert.ok(subject.allows('receive', 'celine/dt') && !subject.allows('receive', 'celine/dt/runs'))
})

test('the model has no document of its own', () => {
  assert.deepEqual(imported('celine-scopes', '{}').document, policy.document)
  assert.ok(hasNote(policy, 'changed', ''))
  assertRefused('celine-scopes', { rules: [] }, '', /imported as celine/)
  assertRefused('celine-scopes', 'x', '', /not JSON/)
})
