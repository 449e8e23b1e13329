import type { PolicyDocument, RuleDocument } from '#src/policy/document.ts'
import type { LintCode, LintOptions } from '#src/policy/lint.ts'

export type Rules = readonly (Partial<RuleDocument> & object)[]

/** Rules with what a rule needs, where a case does not say it: they warn of nothing else then. */
export function documentOf(rules: Rules, more: Partial<PolicyDocument> = {}): PolicyDocument {
  const whole = rules.map((rule, i) => ({ id: `r${i}`, effect: 'allow', actions: ['subscribe'], ...rule }))
  return { schema: 'mqtt-policy/1', id: 'p', ...more, rules: whole as unknown as RuleDocument[] }
}

/** A document that warns, and one that does not. */
export interface LintCase {
  code: LintCode
  why: string
  warns: Rules
  path: string
  says: RegExp
  quiet: Rules
  options?: LintOptions
  more?: Partial<PolicyDocument>
}

export const lintCases: readonly LintCase[] = [
  {
    code: 'allow-everything',
    why: 'an allow of #',
    warns: [{ topics: ['#'] }],
    path: 'rules[0].topics[0]',
    says: /name the part that is needed/,
    quiet: [{ topics: ['plant/#'] }, { effect: 'deny', topics: ['#'], actions: ['publish'] }],
  },
  {
    code: 'allow-everything',
    why: 'a filter with another spelling of #',
    warns: [{ topics: [{ filter: '+/#', dollar: true }] }],
    path: 'rules[0].topics[0].filter',
    says: /every topic/,
    quiet: [{ topics: ['+/a/#'] }],
  },
  {
    code: 'allow-everything',
    why: 'a regex of everything',
    warns: [{ topics: [{ regex: '.*' }] }],
    path: 'rules[0].topics[0].regex',
    says: /every topic/,
    quiet: [{ topics: [{ regex: 'a/.*' }] }],
  },
  {
    code: 'allow-everything',
    why: 'an eq of #, which delivers everything',
    warns: [{ topics: [{ eq: '#' }] }],
    path: 'rules[0].topics[0].eq',
    says: /every topic/,
    quiet: [{ topics: [{ eq: 'a/#' }] }, { topics: ['+:svc/#'], require: [{ in: 'scopes', any: ['${topic.svc}'] }] }],
  },
  {
    code: 'implicit-actions',
    why: 'an allow without actions publishes too',
    warns: [{ actions: undefined, topics: ['a'] } as unknown as Partial<RuleDocument>],
    path: 'rules[0]',
    says: /publish as well as subscribe/,
    quiet: [
      { topics: ['a'] },
      { effect: 'deny', actions: undefined, topics: ['b'] } as unknown as Partial<RuleDocument>,
    ],
  },
  {
    code: 'identity-wildcard',
    why: 'a + where another rule keeps the level for a client',
    warns: [{ topics: ['s/${clientId}/#'] }, { topics: ['s/+/cmd'] }],
    path: 'rules[1].topics[0]',
    says: /rules\[0\] "r0" keeps for \$\{clientId\}/,
    quiet: [{ topics: ['s/${clientId}/#'] }, { topics: ['t/+/cmd'] }, { topics: ['s/fixed/x'] }],
  },
  {
    code: 'identity-wildcard',
    why: 'a # above the level',
    warns: [{ topics: ['a/s/${clientId}/x'] }, { topics: ['a/#'] }],
    path: 'rules[1].topics[0]',
    says: /keeps for \$\{clientId\}/,
    quiet: [{ topics: ['a/s/${clientId}/x'] }, { topics: ['b/#'] }],
  },
  {
    code: 'identity-wildcard',
    why: 'an inbox that others publish to, or a rule that says who may, is on purpose',
    warns: [{ topics: ['in/${sub}'] }, { actions: ['receive'], topics: ['in/+'] }],
    path: 'rules[1].topics[0]',
    says: /say in "when" who may/,
    quiet: [
      { topics: ['in/${sub}'] },
      { actions: ['publish'], retain: 'forbid', topics: ['in/+'] },
      { when: { groups: ['admin'] }, topics: ['in/+'] },
      { when: { type: ['service', 'application'] }, topics: ['in/+'] },
      { topics: ['in/+/public'] },
    ],
  },
  {
    code: 'unreachable-rule',
    why: 'a higher tier decides all of it',
    warns: [{ effect: 'deny', priority: 1, topics: ['a/#'] }, { topics: ['a/+/b', 'a/c'] }],
    path: 'rules[1]',
    says: /rules\[0\] "r0" has a higher priority.*above 1/,
    quiet: [{ effect: 'deny', priority: 1, topics: ['a/#'], when: { username: 'u' } }, { topics: ['a/+/b', 'b/c'] }],
  },
  {
    code: 'unreachable-rule',
    why: 'one topic of several is decided above',
    warns: [{ priority: 1, topics: ['a/+'] }, { topics: ['a/b', 'b'] }],
    path: 'rules[1].topics[0]',
    says: /decides all that this topic could/,
    quiet: [{ priority: 1, actions: ['publish'], retain: 'forbid', topics: ['a/+'] }, { topics: ['a/b', 'b'] }],
  },
  {
    code: 'unreachable-rule',
    why: 'connect rules are compared too',
    warns: [
      { effect: 'deny', actions: ['connect'], priority: 1 },
      { actions: ['connect'], when: { username: 'u' } },
    ],
    path: 'rules[1]',
    says: /higher priority/,
    quiet: [
      { effect: 'deny', actions: ['connect'], priority: 1, when: { username: 'v' } },
      { actions: ['connect'], when: { username: 'u' } },
    ],
  },
  {
    code: 'denied-allow',
    why: 'a deny of the same tier takes all of it',
    warns: [{ topics: ['a/b'] }, { effect: 'deny', topics: ['a/+'] }],
    path: 'rules[0]',
    says: /rules\[1\] "r1" refuses all that the rule allows.*above 0/,
    quiet: [{ topics: ['a/#'] }, { effect: 'deny', topics: ['a/+'] }],
  },
  {
    code: 'union-only',
    why: 'several allows together take all of a filter that none takes alone',
    warns: [{ topics: ['a/x', 'a/x/+/#'] }],
    path: 'rules[0].topics[1]',
    says: /a SUBSCRIBE to "a\/x\/#" is refused.*write the topic "a\/x\/#"/,
    quiet: [{ topics: ['a/x/+/#'] }, { topics: ['b', 'b/+/#', 'b/#'] }, { topics: ['c/d', 'c/e'] }],
  },
  {
    code: 'union-only',
    why: 'the topics of a # in three lengths',
    warns: [{ topics: ['a'] }, { topics: ['a/+'] }, { topics: ['a/+/+/#'] }],
    path: 'rules[2].topics[0]',
    says: /"a\/#"/,
    quiet: [{ topics: ['a'] }, { topics: ['a/b'] }, { topics: ['a/+/+/#'] }],
  },
  {
    code: 'share-in-pattern',
    why: 'patterns are compared without the prefix',
    warns: [{ topics: ['$share/g/a'] }],
    path: 'rules[0].topics[0]',
    says: /"shareGroups"/,
    quiet: [{ topics: ['a'], shareGroups: ['g'] }, { topics: ['$shared/a'] }],
  },
  {
    code: 'share-in-pattern',
    why: 'in a regex',
    warns: [{ topics: [{ regex: '\\$share/g/.*' }] }],
    path: 'rules[0].topics[0].regex',
    says: /matches nothing/,
    quiet: [{ topics: [{ regex: '\\$SYS/.*' }] }],
  },
  {
    code: 'leading-slash',
    why: 'an empty first level',
    warns: [{ topics: ['/a/b'] }],
    path: 'rules[0].topics[0]',
    says: /leave the first slash out/,
    quiet: [{ topics: ['a//b'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'a claim that no provider brings',
    options: { provides: ['username', 'claims.email'] },
    warns: [{ topics: ['a/${claims.room}'] }],
    path: 'rules[0].topics[0]',
    says: /no provider brings claims\.room, so that this allows nothing/,
    quiet: [{ topics: ['a/${claims.email}/${username}/${clientId}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'a root stands for all below it, an alias for its path',
    options: { provides: ['claims'] },
    more: { aliases: { mine: 'cert.cn' } },
    warns: [{ topics: ['a/${mine}'] }],
    path: 'rules[0].topics[0]',
    says: /cert\.cn/,
    quiet: [{ topics: ['a/${claims.deep.er}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a requirement',
    options: { provides: ['groups'] },
    warns: [{ topics: ['+:s/a'], require: [{ in: 'scopes', any: ['${topic.s}'] }] }],
    path: 'rules[0].require[0].in',
    says: /no provider brings scopes/,
    quiet: [{ topics: ['+:s/a'], require: [{ in: 'groups', any: ['${topic.s}'] }] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a share group',
    options: { provides: [] },
    warns: [{ topics: ['a'], shareGroups: ['g-${sub}'] }],
    path: 'rules[0].shareGroups[0]',
    says: /no provider brings sub/,
    quiet: [{ topics: ['a'], shareGroups: ['g-${clientId}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a condition that an allow stands on',
    options: { provides: [] },
    warns: [{ topics: ['a'], when: { 'claims.x': 'y' } }],
    path: 'rules[0].when["claims.x"]',
    says: /the rule never applies/,
    quiet: [{ topics: ['a'], when: { anyOf: [{ 'claims.x': 'y' }, { clientId: 'c' }] } }],
  },
  {
    code: 'negation-without-exists',
    why: 'a missing claim is not the one that is refused',
    warns: [{ topics: ['a'], when: { 'claims.x': { not: 'bad' } } }],
    path: 'rules[0].when["claims.x"]',
    says: /"allOf": \[\{"claims\.x": \{"exists": true\}\}\]/,
    quiet: [
      { topics: ['a'], when: { 'claims.x': { not: 'bad' }, allOf: [{ 'claims.x': { exists: true } }] } },
      { topics: ['b'], when: { 'claims.x': { not: { not: 'good' } } } },
      { topics: ['c'], when: { 'claims.x': { exists: false } } },
      { effect: 'deny', topics: ['d'], when: { username: { not: 'u' } } },
      { topics: ['e'], when: { type: ['device'], noneOf: [{ type: 'user' }] } },
    ],
  },
  {
    code: 'negation-without-exists',
    why: 'noneOf over conditions',
    warns: [{ topics: ['a'], when: { noneOf: [{ username: 'root' }] } }],
    path: 'rules[0].when.noneOf[0].username',
    says: /holds for an identity without username too/,
    quiet: [{ topics: ['a'], when: { noneOf: [{ username: { not: 'u' } }] } }],
  },
  {
    code: 'negation-without-exists',
    why: 'noneOf of a set',
    warns: [{ topics: ['a'], when: { groups: { noneOf: ['banned'] } } }],
    path: 'rules[0].when.groups',
    says: /"groups": \{"anyOf"/,
    quiet: [{ topics: ['a'], when: { groups: { anyOf: ['fleet'], noneOf: ['banned'] } } }],
  },
  {
    code: 'negation-without-exists',
    why: 'a presence that is asked for on one side only does not help the other',
    warns: [
      { topics: ['a'], when: { 'claims.x': { not: 'y' }, anyOf: [{ 'claims.x': { exists: true } }, { tls: true }] } },
    ],
    path: 'rules[0].when["claims.x"]',
    says: /without claims\.x/,
    quiet: [{ topics: ['a'], when: { 'claims.x': { not: 'y' }, anyOf: [{ 'claims.x': { exists: true } }] } }],
  },
  {
    code: 'unsure-deny',
    why: 'a deny stands on a claim that may be missing',
    warns: [{ effect: 'deny', topics: ['a'], when: { 'claims.tier': 'free' } }],
    path: 'rules[0].when["claims.tier"]',
    says: /does not refuse an identity without claims\.tier; add a deny rule/,
    quiet: [
      { effect: 'deny', topics: ['a'], when: { 'claims.tier': 'free' } },
      { effect: 'deny', topics: ['a'], when: { 'claims.tier': { exists: false } } },
      { effect: 'deny', topics: ['b'], when: { 'claims.other': { not: 'good' } } },
      { effect: 'deny', topics: ['c'], when: { username: 'u' } },
    ],
  },
  {
    code: 'unsure-deny',
    why: 'groups, where no provider brings them',
    options: { provides: [] },
    warns: [{ effect: 'deny', topics: ['a'], when: { groups: ['banned'] } }],
    path: 'rules[0].when.groups',
    says: /without groups; put the condition on the allow rules/,
    quiet: [{ effect: 'deny', topics: ['a'], when: { clientId: 'c', ip: ['10.0.0.0/8'] } }],
  },
  {
    code: 'regex-unescaped-dot',
    why: 'a dot that stands for any character',
    warns: [{ topics: [{ regex: 'api/v1.2/[^/]+' }] }],
    path: 'rules[0].topics[0].regex',
    says: /write `\\\.` for a dot/,
    quiet: [
      { topics: [{ regex: 'api/v1\\.2/.*' }] },
      { topics: [{ regex: '\\Qv1.2\\E/[.a]/.+/a.{2}/a.?' }] },
      { topics: [{ regex: 'x/${claims.a.b}/y' }] },
    ],
  },
  {
    code: 'regex-unescaped-dot',
    why: 'in a condition',
    warns: [{ topics: ['a'], when: { username: { regex: '.*@acme.example' } } }],
    path: 'rules[0].when.username',
    says: /any character/,
    quiet: [{ topics: ['a'], when: { username: { regex: '.*@acme\\.example' } } }],
  },
  {
    code: 'retain-on-wildcard',
    why: 'whoever may publish anywhere may leave messages there',
    warns: [{ actions: ['publish'], topics: ['a', 'a/+'] }],
    path: 'rules[0].topics[1]',
    says: /"retain": "forbid"/,
    quiet: [
      { actions: ['publish'], topics: ['a/b'] },
      { actions: ['publish'], topics: ['b/+'], retain: 'any' },
      { actions: ['publish'], topics: ['c/+'], retain: 'strip' },
      { actions: ['publish'], topics: [{ regex: 'd/e' }] },
      { actions: ['subscribe'], topics: ['f/+'] },
    ],
  },
  {
    code: 'unfiltered-surface',
    why: 'overlap: filter where no delivery is checked',
    options: { delivery: false },
    warns: [{ topics: ['a/#'] }, { effect: 'deny', overlap: 'filter', topics: ['a/b'] }],
    path: 'rules[1].overlap',
    says: /checks no deliveries/,
    quiet: [{ topics: ['a/#'] }, { effect: 'deny', overlap: 'refuse', topics: ['a/b'] }],
  },
]
