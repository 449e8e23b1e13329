import { POLICY_SCHEMA, type PolicyDocument } from '../policy/document.ts'
import { importEmqx } from '../policy/importers/emqx.ts'
import { importTbmq } from '../policy/importers/tbmq.ts'
import { parsePolicy } from '../policy/parse-policy.ts'
import { isJsonObject, kindOf, type PolicyProblem } from '../policy/problems.ts'

/**
 * What rules of a session are written in: `rules` of a policy document; `tbmq`, an object of the lists `pub` and `sub` (or
 * `pubAuthRulePatterns`, `subAuthRulePatterns`) of Java regular expressions; `emqx`, its list of
 * `{permission, action, topic, …}`.
 */
export type RulesFormat = 'rules' | 'tbmq' | 'emqx'

/** Rules, or the patterns of both lists together. */
export const MAX_SESSION_RULES = 100
/** Bytes of JSON that they may take. */
export const MAX_SESSION_RULES_BYTES = 65_536
/** Characters of all patterns of TBMQ, and instructions of all regexes: a login must not hold up everybody else. */
const MAX_PATTERN_TEXT = 16_384
const MAX_REGEX_SIZE = 5_000
const ID = 'session'
const TBMQ_LISTS = ['pub', 'sub', 'pubAuthRulePatterns', 'subAuthRulePatterns']

export type SessionRules =
  | { readonly document: PolicyDocument }
  /** For the operator; never for the client. */
  | { readonly document: undefined; readonly problems: readonly PolicyProblem[] }

function refused(message: string): SessionRules {
  return { document: undefined, problems: [{ path: '', message }] }
}

function listOf(value: unknown): readonly unknown[] | string {
  if (!Array.isArray(value)) return `must be a list of rules, is ${kindOf(value)}`
  return value.length > MAX_SESSION_RULES ? `more than ${MAX_SESSION_RULES} rules` : value
}

function fromRules(value: unknown): SessionRules {
  const rules = listOf(value)
  if (typeof rules === 'string') return refused(rules)
  const document = { schema: POLICY_SCHEMA, id: ID, default: 'deny', rules } as PolicyDocument
  return bounded(document)
}

function bounded(document: PolicyDocument): SessionRules {
  const { policy, problems } = parsePolicy(document, MAX_REGEX_SIZE)
  return policy ? { document } : { document: undefined, problems }
}

/** The lists that TBMQ knows, and nothing else that its importer would take: no credential, no `null` that allows all. */
function fromPatterns(value: unknown): SessionRules {
  if (!isJsonObject(value)) return refused(`must be an object with pub and sub, is ${kindOf(value)}`)
  let patterns = 0
  let characters = 0
  for (const [name, list] of Object.entries(value)) {
    if (!TBMQ_LISTS.includes(name)) return refused(`a member is none of ${TBMQ_LISTS.join(', ')}`)
    if (!Array.isArray(list)) return refused(`${name} must be a list, is ${kindOf(list)}`)
    patterns += list.length
    characters += list.reduce<number>((sum, one) => sum + (typeof one === 'string' ? one.length : 0), 0)
  }
  if (characters > MAX_PATTERN_TEXT) return refused(`patterns of more than ${MAX_PATTERN_TEXT} characters`)
  if (patterns > MAX_SESSION_RULES) return refused(`more than ${MAX_SESSION_RULES} patterns`)
  if (Object.keys(value).length === 0) return refused('has neither pub nor sub')
  const twice = TBMQ_LISTS.slice(0, 2).find(
    (name) => Object.hasOwn(value, name) && Object.hasOwn(value, `${name}AuthRulePatterns`),
  )
  if (twice !== undefined) return refused(`${twice} and ${twice}AuthRulePatterns are one list`)
  const imported = importTbmq(value, { id: ID })
  return imported.document ? bounded(imported.document) : imported
}

/** A list of rules for this one client; lists that name other clients belong into a stored policy. */
function fromEmqx(value: unknown): SessionRules {
  const rules = listOf(value)
  if (typeof rules === 'string') return refused(rules)
  if (!rules.every((rule) => isJsonObject(rule) && !Object.hasOwn(rule, 'rules')))
    return refused('must be a list of {permission, action, topic}')
  return importEmqx(rules, { id: ID })
}

const readers: Readonly<Record<RulesFormat, (value: unknown) => SessionRules>> = {
  rules: fromRules,
  tbmq: fromPatterns,
  emqx: fromEmqx,
}

/**
 * Makes a policy document of the rules that came with credentials: a claim of a token, or an answer of a service. They are
 * checked like a stored document, and one fault refuses all of them. What they do not allow is not allowed by them; how they go
 * together with a stored policy says `decideBoth`.
 *
 * @param value parsed JSON, not nested deeper than 32
 */
export function readSessionRules(format: RulesFormat, value: unknown): SessionRules {
  if (value === undefined) return refused('there are none')
  if (new TextEncoder().encode(JSON.stringify(value)).length > MAX_SESSION_RULES_BYTES)
    return refused(`more than ${MAX_SESSION_RULES_BYTES} bytes`)
  return readers[format](value)
}
