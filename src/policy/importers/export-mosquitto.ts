import type { PolicyDocument, RuleAction, RuleDocument, WhenDocument } from '../document.ts'
import { quote } from '../problems.ts'
import { ExportReader, type ExportRule, type FilterPart } from './export-reader.ts'
import type { ExportResult } from './export-result.ts'
import { patternGuard } from './mosquitto.ts'

/** A rule with the place that it has in a file: before the first `user`, behind one, or among the patterns. */
interface Placed extends ExportRule {
  readonly section: 'anonymous' | 'pattern' | { readonly user: string }
  readonly access: string
}

const variables: Readonly<Record<string, string>> = { clientId: '%c', username: '%u' }

/** Compares JSON, whatever the order of members. */
function isSameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))]
  return (
    Array.isArray(a) === Array.isArray(b) &&
    left.length === right.size &&
    left.every(([name, value]) => isSameJson(value, right.get(name)))
  )
}

function isGuard({ effect, when, topics, actions }: RuleDocument): boolean {
  return isSameJson(
    { effect, when, topics, actions },
    {
      effect: patternGuard.effect,
      when: patternGuard.when,
      topics: patternGuard.topics,
      actions: patternGuard.actions,
    },
  )
}

function sectionOf(when: WhenDocument | undefined, path: string, reader: ExportReader): Placed['section'] {
  if (!when || Object.keys(when).length === 0) return 'pattern'
  const { username: condition } = when as { username?: unknown }
  const eq = typeof condition === 'string' ? condition : (condition as { eq?: unknown } | undefined)?.eq
  const isAlone = Object.keys(when).length === 1
  if (isAlone && typeof eq === 'string') {
    if (/^\s|\s$|[\n\r]/.test(eq) || eq === '')
      reader.refuse(`${path}.when.username`, `${quote(eq)} cannot be written in a line`)
    return { user: eq }
  }
  if (!isAlone || !isSameJson(condition, { exists: false }))
    reader.refuse(
      `${path}.when`,
      'lines are for one user name (eq), for clients without one (exists: false), or for everybody',
    )
  return 'anonymous'
}

function accessOf(
  { effect, actions = ['publish', 'subscribe', 'receive'] }: RuleDocument,
  path: string,
  reader: ExportReader,
): string {
  const has = (action: RuleAction) => actions.includes(action)
  if (has('connect') || has('unsubscribe'))
    reader.refuse(`${path}.actions`, 'connect and unsubscribe are not asked about there')
  if (has('receive') && !has('subscribe'))
    reader.refuse(`${path}.actions`, 'name subscribe beside receive; a file does not tell them apart')
  if (effect === 'allow') return has('publish') ? (has('subscribe') ? 'readwrite' : 'write') : 'read'
  if (!has('publish') || !has('subscribe')) reader.refuse(`${path}.actions`, 'a deny is for publish and subscribe both')
  return 'deny'
}

/** Writes a filter; `undefined` with a problem where the line would mean something else. */
function topicText(
  parts: readonly FilterPart[],
  { path, section, rule }: Placed,
  reader: ExportReader,
): string | undefined {
  const text = parts.map((part) => (typeof part === 'string' ? part : (variables[part.variable] ?? ''))).join('')
  const used = parts.flatMap((part) => (typeof part === 'object' ? [part.variable] : []))
  const unknown = used.find((name) => !Object.hasOwn(variables, name))
  const refuse = (message: string) => reader.refuse(`${path}.topics`, message)
  if (unknown !== undefined)
    return refuse(`\${${unknown}} has no counterpart there; patterns know clientId and username`)
  if (used.length > 0 && section !== 'pattern') return refuse('variables stand in patterns, which are for everybody')
  if (used.length > 0 && rule.effect === 'deny')
    return refuse('a deny with a variable refuses every level here where the value is missing, and nothing there')
  if (parts.some((part) => typeof part === 'string' && section === 'pattern' && /%[cu]/.test(part)))
    return refuse('%c and %u would be read as variables')
  const levels = text.split('/')
  if (levels.some((level) => /%[cu]/.test(level) && level.length > 2 && section === 'pattern'))
    return refuse('a variable must be a whole level')
  if (/^\s|\s$|[\n\r]/.test(text)) return refuse(`${quote(text)} cannot be written in a line`)
  return text
}

/** Lines of a user are asked before patterns, and in each a deny before grants: the priorities must say nothing else. */
function requireOrder(placed: readonly Pick<Placed, 'rule' | 'section'>[], reader: ExportReader): void {
  const priorities = (isPattern: boolean) =>
    new Set(placed.filter(({ section }) => (section === 'pattern') === isPattern).map(({ rule }) => rule.priority ?? 0))
  const denies = placed.filter(({ rule }) => rule.effect === 'deny')
  if (denies.length === 0) return
  const [own, patterns] = [priorities(false), priorities(true)]
  const isDenied = denies.some(({ section }) => section === 'pattern')
  const [first = 0, second = 0] = [...own, ...patterns]
  const inOrder = own.size === 0 || patterns.size === 0 || first > second || (first === second && !isDenied)
  if (own.size > 1 || patterns.size > 1 || !inOrder)
    reader.refuse(
      '',
      'lines for users are asked before those for everybody there, and a deny before grants: give the rules for users one priority, and the others a lower one',
    )
}

function linesOf(placed: readonly Placed[], keyword: 'topic' | 'pattern', reader: ExportReader): readonly string[] {
  return placed.flatMap((one) =>
    one.filters.flatMap((parts) => {
      const text = topicText(parts, one, reader)
      return text === undefined ? [] : [`${keyword} ${one.access} ${text}`]
    }),
  )
}

/** Writes a document as the text of an ACL file, so that importing it again decides alike. */
export function exportMosquitto(document: PolicyDocument): ExportResult {
  const reader = new ExportReader(document)
  reader.requireOptions({ subscribe: 'filtered' })
  const guards = document.rules.filter((rule) => rule.enabled !== false && isGuard(rule))
  const placed = reader.rules([], false, isGuard).map((one): Placed => {
    const section = sectionOf(one.rule.when, one.path, reader)
    return { ...one, section, access: accessOf(one.rule, one.path, reader) }
  })
  const patterns = placed.filter(({ section }) => section === 'pattern')
  if (patterns.length > 0 && guards.length === 0)
    reader.refuse(
      '',
      `where there are patterns, clients whose name or id holds + or # are refused there; add the rule ${JSON.stringify(patternGuard)}`,
    )
  if (patterns.length === 0 && guards.length > 0)
    reader.refuse('', 'clients whose name or id holds + or # are refused there only where there are patterns')
  requireOrder([...placed, ...guards.map((rule) => ({ rule, section: 'pattern' as const }))], reader)
  const users = Map.groupBy(placed, ({ section }) => (typeof section === 'object' ? section.user : undefined))
  const lines = linesOf(
    placed.filter(({ section }) => section === 'anonymous'),
    'topic',
    reader,
  )
  const own = [...users].flatMap(([user, rules]) =>
    user === undefined ? [] : [`user ${user}`, ...linesOf(rules, 'topic', reader)],
  )
  const written = [...lines, ...linesOf(patterns, 'pattern', reader), ...own]
  if (patterns.some(({ filters }) => filters.flat().some((part) => typeof part === 'object')))
    reader.note(
      'changed',
      '',
      'Mosquitto 2.0 puts an id that holds a slash into a pattern as several levels; here it is left out',
    )
  return reader.finish(() => written.map((line) => `${line}\n`).join(''))
}
