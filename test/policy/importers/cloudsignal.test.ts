import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { hasNote, imported, refused } from './imported.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'

interface NamedRule {
  readonly topic: string
  readonly action: 'subscribe' | 'publish'
  readonly effect: 'allow' | 'deny'
}

const levels = ['a', 'b', 'me', '$s']
const names = levelTexts(levels, 3)
const filters = filterTexts(['a', 'b', 'me'], 3)
const people: readonly Identity[] = [
  {
    sub: 'me',
    clientId: 'a',
    username: 'b',
    org: 'me',
    claims: { email: 'me', agent_id: 'b', session_id: 'a', role: 'b' },
  },
  { sub: 'a' },
]

function claimOf({ sub, clientId, username, org, claims = {} }: Identity, name: string): unknown {
  const table: Readonly<Record<string, unknown>> = { user_id: sub, client_id: clientId, username, org_short_id: org }
  return Object.hasOwn(table, name) ? table[name] : claims[name]
}

/** Puts values in; a deny whose variable has none is for every level there, an allow for nothing. */
function filled({ topic, effect }: NamedRule, who: Identity): string | undefined {
  const filter = topic.replace(
    /\{(\w+)\}/g,
    (_, name: string) => (claimOf(who, name) as string | undefined) ?? '\u0000',
  )
  if (!filter.includes('\u0000')) return filter
  return effect === 'deny' ? filter.replaceAll('\u0000', '+') : undefined
}

function decides(
  rules: readonly NamedRule[],
  fallback: 'allow' | 'deny',
  ordered: boolean,
  who: Identity,
  action: string,
  name: string,
): string {
  const hits = rules.filter((rule) => {
    const filter = filled(rule, who)
    return rule.action === action && filter !== undefined && stands(filter, name, rule.effect === 'deny')
  })
  if (hits.length === 0) return name.startsWith('$') ? 'deny' : fallback
  if (ordered) return hits[0]?.effect ?? 'deny'
  return hits.some(({ effect }) => effect === 'deny') ? 'deny' : 'allow'
}

const topic = fc
  .array(
    fc.constantFrom(
      'a',
      'b',
      '+',
      '{email}',
      '{user_id}',
      '{agent_id}',
      '{session_id}',
      '{client_id}',
      '{role}',
      '{username}',
      '{org_short_id}',
    ),
    { minLength: 1, maxLength: 3 },
  )
  .chain((list) => fc.constantFrom(list.join('/'), [...list, '#'].join('/')))
const named: fc.Arbitrary<NamedRule> = fc.record({
  topic,
  action: fc.constantFrom('subscribe', 'publish'),
  effect: fc.constantFrom('allow', 'allow', 'deny'),
})
const source = fc.record({
  rules: fc.array(named, { maxLength: 6 }),
  default_action: fc.constantFrom('allow' as const, 'deny' as const),
  ordered: fc.boolean(),
})

test('A "2.0": topic names are decided as written, and no filter stands for a name that is refused', (t) => {
  let granted = 0
  forEvery(t, source, 200, ({ rules, default_action, ordered }) => {
    const policy = imported('cloudsignal', { version: '2.0', default_action, rules }, { ordered })
    for (const who of people) {
      const subject = policy.as(who)
      const expected = (action: string, name: string) =>
        decides(rules, default_action, ordered, who, action, name) === 'allow'
      const readable = new Set(names.filter((name) => expected('subscribe', name)))
      for (const name of names) {
        assert.equal(subject.allows('publish', name), expected('publish', name), `publish ${name}`)
        assert.equal(subject.allows('receive', name), readable.has(name), `receive ${name}`)
        assert.equal(subject.allows('subscribe', name), readable.has(name), `subscribe ${name}`)
      }
      for (const filter of filters) {
        if (!subject.allows('subscribe', filter)) continue
        granted++
        assert.equal(
          names.find((name) => stands(filter, name) && !readable.has(name)),
          undefined,
          filter,
        )
      }
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 500)
})

const a = (rules: readonly unknown[], more: object = {}) => ({ version: '2.0', default_action: 'deny', rules, ...more })
const inbox: NamedRule = { topic: '/{email}/inbox', action: 'subscribe', effect: 'allow' }

test('A: the slash at the front is kept and told, or taken off on request', () => {
  const who: Identity = { claims: { email: 'alice@acme.io' } }
  const kept = imported('cloudsignal', a([inbox]))
  assert.ok(
    kept.as(who).allows('subscribe', '/alice@acme.io/inbox') &&
      !kept.as(who).allows('subscribe', 'alice@acme.io/inbox'),
  )
  assert.ok(hasNote(kept, 'ambiguous', 'rules[0].topic'))
  const stripped = imported('cloudsignal', a([inbox]), { stripLeadingSlash: true })
  assert.ok(
    stripped.as(who).allows('subscribe', 'alice@acme.io/inbox') &&
      !stripped.as(who).allows('subscribe', '/alice@acme.io/inbox'),
  )
  assert.deepEqual(stripped.document.aliases, { email: 'claims.email' })
})

test('A: a value that could be structure is no value', () => {
  const subject = (email: unknown) => imported('cloudsignal', a([inbox])).as({ claims: { email } })
  for (const email of ['+', '#', 'a/b', 'alice+tag@x', '', '\u0000', 7.5, null, ['x'], { x: 1 }])
    assert.ok(
      !subject(email).allows('subscribe', typeof email === 'string' ? `/${email}/inbox` : '/7.5/inbox'),
      JSON.stringify(email),
    )
  assert.ok(!subject('+').allows('subscribe', '/bob/inbox'))
})

test('A: a deny decides wherever it stands, or the first rule does on request', () => {
  const rules = [
    { topic: 'x/public', action: 'publish', effect: 'allow' },
    { topic: 'x/#', action: 'publish', effect: 'deny' },
  ]
  const unordered = imported('cloudsignal', a(rules))
  assert.ok(!unordered.as({}).allows('publish', 'x/public') && hasNote(unordered, 'ambiguous', 'rules'))
  const ordered = imported('cloudsignal', a(rules), { ordered: true })
  assert.ok(ordered.as({}).allows('publish', 'x/public') && !ordered.as({}).allows('publish', 'x/y'))
  assert.ok(!hasNote(ordered, 'ambiguous', 'rules'))
})

const b = (members: object) => ({ version: '2.1', default: 'deny', ...members })

test('B: bindings, permitted values and grants decide who a rule is for', () => {
  const policy = imported(
    'cloudsignal',
    b({
      global: [{ topic: 'news/#', action: 'sub' }],
      rules: [
        { topic: 'agents/{$self}/card', action: 'pub+sub', binding: 'agent_id' },
        { topic: 'mail/{email}', action: 'sub', binding: 'email' },
        { topic: 'tools/call', action: 'pub', binding: 'agent_id', agents: ['scout', 'analyst'] },
        { topic: 'staff/#', action: 'sub', binding: 'staff_id' },
        { topic: 'chat/{channel}/#', action: 'pub+sub', binding: 'channel', require_grant: true },
      ],
      publishers: [],
    }),
  )
  const subject = policy.as({ claims: { agent_id: 'scout', email: 'e@x', channels: ['red'] } })
  for (const [action, name] of [
    ['subscribe', 'news/x'],
    ['publish', 'agents/scout/card'],
    ['receive', 'agents/scout/card'],
    ['subscribe', 'mail/e@x'],
    ['publish', 'tools/call'],
    ['subscribe', 'chat/red/#'],
  ] as const)
    assert.ok(subject.allows(action, name), `${action} ${name}`)
  for (const [action, name] of [
    ['publish', 'news/x'],
    ['publish', 'agents/other/card'],
    ['subscribe', 'staff/x'],
    ['publish', 'chat/blue/x'],
    ['subscribe', 'chat/+/x'],
    ['subscribe', 'tools/call'],
  ] as const)
    assert.ok(!subject.allows(action, name), `${action} ${name}`)
  assert.ok(!policy.as({ claims: { agent_id: 'intruder' } }).allows('publish', 'tools/call'))
  assert.ok(policy.as({ claims: { staff_id: 's1' } }).allows('subscribe', 'staff/x'))
  assert.ok(hasNote(policy, 'ambiguous', 'rules[4].topic'))
})

test('C: users by glob; a channel has to be named', () => {
  const policy = imported('cloudsignal', {
    rules: [
      { user: 'backend-*', topic: 'notifications/#', permission: 'publish' },
      { user: '*', topic: 'notifications/{username}', permission: 'subscribe' },
      { user: '*', topic: 'chat/{channel}/#', permission: 'both' },
      { user: 'orchestrator', topic: 'pipeline/{client_id}/{org_short_id}', permission: 'both' },
    ],
  })
  const backend = policy.as({ username: 'backend-1' })
  assert.ok(
    backend.allows('publish', 'notifications/x/y') &&
      !policy.as({ username: 'xbackend-1' }).allows('publish', 'notifications/x'),
  )
  assert.ok(
    backend.allows('subscribe', 'notifications/backend-1') && !backend.allows('subscribe', 'notifications/other'),
  )
  assert.ok(backend.allows('subscribe', 'chat/red/#') && !backend.allows('subscribe', 'chat/+/x'))
  assert.ok(policy.as({ username: 'orchestrator', clientId: 'c', org: 'o' }).allows('publish', 'pipeline/c/o'))
  assert.ok(hasNote(policy, 'ambiguous', 'rules[2].topic'))
})

test('D: the first rule decides, and no rule at all is full access', () => {
  const policy = imported('cloudsignal', [
    { user: 'dev%', topic: 'x/%u/#', permission: 'pubsub' },
    { user: '%', topic: 'x/#', permission: 'publish', effect: 'DENY' },
    { user: '%', topic: '#', permission: 'pubsub' },
  ])
  const subject = policy.as({ username: 'dev1' })
  assert.ok(
    subject.allows('publish', 'x/dev1/a') && !subject.allows('publish', 'x/dev2/a') && subject.allows('publish', 'y'),
  )
  assert.ok(!policy.as({ username: 'other' }).allows('publish', 'x/other/a'))
  const open = imported('cloudsignal', [])
  assert.ok(
    open.as({}).allows('publish', 'a') && !open.as({}).allows('publish', '$SYS/a') && hasNote(open, 'ambiguous', ''),
  )
})

test('D: priorities that do not run one way are refused, because neither end is known to come first', () => {
  const rule = (priority?: number) => ({
    user: '%',
    topic: 'a',
    permission: 'publish',
    ...(priority === undefined ? {} : { priority }),
  })
  assert.ok(hasNote(imported('cloudsignal', [rule(3), rule(2), rule(2)]), 'ambiguous', ''))
  assert.ok(hasNote(imported('cloudsignal', [rule(1), rule(5)]), 'ambiguous', ''))
  for (const list of [
    [rule(1), rule(3), rule(2)],
    [rule(1), rule()],
  ])
    assert.match(refused('cloudsignal', list)[0]?.message ?? '', /highest or the lowest/)
})
