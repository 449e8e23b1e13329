import { isIP } from 'node:net'
import { MAX_PATTERN_LENGTH, patternProblem } from './compile-pattern.ts'
import type { AclConfig, AclRule } from './guards-config.ts'
import type { DocumentLimits } from './parse-limits.ts'
import { readQos } from './parse-qos.ts'
import type { Problems } from './problems.ts'
import { readFilter } from './read-topics.ts'
import { SectionReader, textProblem } from './section-reader.ts'

const MAX_TEXT = 1_024
const MAX_TOPICS = 10_000
const MAX_GROUPS = 1_000
const PRIORITY = { min: -(2 ** 31), max: 2 ** 31 - 1 }
const ACTIONS = ['publish', 'subscribe', 'unsubscribe', 'connect']
const DECISIONS = ['allow', 'deny'] as const

/** An address, or an address and the length of a prefix. */
function isAddressOrNet(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = address.includes('%') ? 0 : isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^(?:0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

function textElement(json: unknown, path: string, problems: Problems): string | undefined {
  const problem = textProblem(json, MAX_TEXT)
  if (problem === undefined) return json as string
  problems.add(path, problem)
  return undefined
}

function checkMatch(match: SectionReader, problems: Problems): void {
  for (const key of ['username', 'client-id']) match.text(key, MAX_TEXT)
  for (const key of ['username-regex', 'client-id-regex']) {
    const pattern = match.text(key, MAX_PATTERN_LENGTH)
    const problem = pattern === undefined ? undefined : patternProblem(pattern)
    if (problem !== undefined) match.refuse(key, problem)
  }
  const ip = match.text('client-ip', MAX_TEXT)
  if (ip !== undefined && !isAddressOrNet(ip))
    match.refuse('client-ip', 'must be an IP address or a net such as 192.168.1.0/24')
  match.list('groups', MAX_GROUPS, (json, path) => textElement(json, path, problems))
  match.integer('protocol-version', { min: 3, max: 5 })
  match.done()
}

function parseRule(json: unknown, path: string, names: Set<string>, problems: Problems): AclRule | undefined {
  const reader = new SectionReader(json, path, problems)
  reader.require('name', 'topics', 'decision')
  const name = reader.text('name', MAX_TEXT)
  if (name !== undefined && names.has(name)) reader.refuse('name', 'occurs twice')
  if (name !== undefined) names.add(name)
  const match = reader.sectionIfPresent('match')
  if (match) checkMatch(match, problems)
  const topics = reader.list('topics', MAX_TOPICS, (one, at) => readFilter(one, at, problems))
  if (reader.has('topics') && topics.length === 0) reader.refuse('topics', 'is empty: the rule would match nothing')
  const actions = reader.list('actions', ACTIONS.length, (one, at) => {
    const action = ACTIONS.find((known) => known === one)
    if (action === undefined) problems.add(at, `must be one of ${ACTIONS.join(', ')}`)
    return action
  })
  const decision = reader.word('decision', DECISIONS)
  const maxQos = readQos(reader, 'max-qos')
  const priority = reader.integer('priority', PRIORITY)
  reader.done()
  if (name === undefined || decision === undefined) return undefined
  return {
    name,
    ...(match && { match: reader.value('match') as Readonly<Record<string, unknown>> }),
    topics,
    ...(reader.has('actions') && { actions }),
    decision,
    ...(maxQos !== undefined && { 'max-qos': maxQos }),
    ...(priority !== undefined && { priority }),
  }
}

/** Checks the shape of the access rules and fills the defaults in. What they mean as a policy, an importer says. */
export function parseAcl(reader: SectionReader, limits: DocumentLimits, problems: Problems): AclConfig {
  const names = new Set<string>()
  const config: AclConfig = {
    enabled: reader.boolean('enabled', true),
    'default-action': reader.word('default-action', DECISIONS) ?? 'deny',
    rules: reader.list('rules', limits.aclRules, (json, path) => parseRule(json, path, names, problems)),
  }
  if (reader.has('rules-file')) reader.refuse('rules-file', 'is not read: put its rules under rules')
  reader.boolean('cache-decisions', true) // decisions are cached by what they depend on; there is nothing to turn off
  reader.done()
  return config
}
