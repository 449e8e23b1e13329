import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessAction } from '#src/policy/access.ts'
import type { Qos } from '#src/policy/document.ts'
import { filterCovers, filtersOverlap } from '#src/policy/filter-sets.ts'
import type { Identity } from '#src/policy/identity.ts'
import { topicMatches } from '#src/policy/topic-matches.ts'
import { defaultSyntaxLimits, filterProblem } from '#src/policy/topic-syntax.ts'
import { imported } from './imported.ts'
import { readVectors } from './vector-file.ts'

interface Case<Given, Expect> {
  readonly id: string
  readonly area: string
  readonly given: Given
  readonly expect: Expect
}

/** Judges the cases of one area, and fails when there is none. */
function area<Given, Expect>(
  name: string,
  title: string,
  judge: (given: Given, expect: Expect, id: string) => void,
): void {
  test(`sentinel.json ${name}: ${title}`, (t) => {
    const file = readVectors<{ schema: string; vectors: readonly Case<Given, Expect>[] }>('sentinel.json', t)
    if (!file) return
    assert.equal(file.schema, 'sentinel-gateway-vectors/1')
    const cases = file.vectors.filter((one) => one.area === name)
    assert.ok(cases.length > 0, 'no case')
    for (const { id, given, expect } of cases) judge(given, expect, id)
    t.diagnostic(`${cases.length} cases`)
  })
}

interface AclGiven {
  readonly config: unknown
  readonly context: {
    readonly client_id: string
    readonly username: string | null
    readonly groups: readonly string[]
    readonly client_ip?: string
    readonly protocol_version?: 3 | 4 | 5
  }
  readonly action: AccessAction
  readonly topic: string
  readonly qos: Qos
}

interface AclExpect {
  readonly decision: 'allow' | 'deny' | 'suback-failure'
  readonly rule?: string | null
  readonly forwarded_qos?: Qos
}

function identityOf({ client_id, username, groups, client_ip, protocol_version }: AclGiven['context']): Identity {
  return {
    clientId: client_id,
    groups,
    ...(username === null ? {} : { username }),
    ...(client_ip === undefined ? {} : { ip: client_ip }),
    ...(protocol_version === undefined ? {} : { protocol: protocol_version }),
  }
}

area<AclGiven, AclExpect>('acl', 'the imported policy decides as a conforming gateway does', (given, expect, id) => {
  const { action, topic, qos } = given
  const decision = imported('sentinel', given.config).as(identityOf(given.context)).decide(action, topic, { qos })
  const isMalformed = expect.decision === 'suback-failure'
  assert.equal(decision.decision, isMalformed ? 'deny' : expect.decision, id)
  assert.equal(decision.reason.startsWith('invalid-topic:'), isMalformed, id)
  const rule = decision.rule === 'default-action' ? null : decision.rule
  if (expect.rule !== undefined) assert.equal(rule, expect.rule, id)
  if (expect.forwarded_qos !== undefined) assert.equal(decision.qos, expect.forwarded_qos, id)
})

area<{ topic: string; pattern: string }, { match: boolean }>(
  'topic-match',
  'a filter and a topic name',
  ({ topic, pattern }, { match }, id) => {
    assert.equal(topicMatches(pattern, topic), match, id)
  },
)

area<{ filter: string }, { valid: boolean }>(
  'filter-validity',
  'the spelling of filters',
  ({ filter }, { valid }, id) => {
    assert.equal(filterProblem(filter, defaultSyntaxLimits) === undefined, valid, id)
  },
)

area<{ pattern: string; filter: string }, { pattern_contains_filter: boolean; overlap: boolean }>(
  'filter-algebra',
  'containment and overlap of filters',
  ({ pattern, filter }, expect, id) => {
    assert.equal(filterCovers(pattern, filter), expect.pattern_contains_filter, id)
    assert.equal(filtersOverlap(pattern, filter), expect.overlap, id)
  },
)
