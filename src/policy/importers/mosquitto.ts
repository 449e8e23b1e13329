import type { RuleAction, RuleDocument, WhenDocument } from '../document.ts'
import { quote } from '../problems.ts'
import { filterFrom, mqttMatcher, type PatternPiece } from './foreign-filter.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { readText } from './read-source.ts'
import { unusableValueGuard } from './unusable-value-guard.ts'

const MAX_LINES = 200_000
const everyAction: readonly RuleAction[] = ['publish', 'subscribe', 'receive']
const access: Readonly<Record<string, readonly RuleAction[]>> = {
  read: ['subscribe', 'receive'],
  write: ['publish'],
  readwrite: everyAction,
  deny: everyAction,
}

/** Lines for one user are asked first, then the patterns, which are for everybody; a deny is asked before grants. */
const USER_TIER = 1
const PATTERN_TIER = 0

/** Patterns refuse a client whose name or id could be taken for a wildcard. */
export const patternGuard: RuleDocument = {
  id: 'patterns-refuse-wildcards-in-ids',
  description: 'Where there are patterns, Mosquitto refuses clients whose user name or client id holds + or #.',
  effect: 'deny',
  priority: PATTERN_TIER,
  when: { anyOf: [{ username: { regex: '[+#]', mode: 'search' } }, { clientId: { regex: '[+#]', mode: 'search' } }] },
  actions: everyAction,
  topics: [{ filter: '#', dollar: true }],
}

interface Line {
  readonly path: string
  readonly word: string
  readonly rest: string
}

/** Takes off the blanks that `isspace` of C knows, and no others. */
function trimBlanks(text: string): string {
  const isBlank = (at: number) => ' \t\n\v\f\r'.includes(text.charAt(at)) && text.charAt(at) !== ''
  let start = 0
  let end = text.length
  while (isBlank(start)) start++
  while (end > start && isBlank(end - 1)) end--
  return text.slice(start, end)
}

/** The first word, which ends at a space, and what is behind it. */
function splitWord(text: string): readonly [word: string, rest: string] {
  const end = text.indexOf(' ')
  return end === -1 ? [text, ''] : [text.slice(0, end), trimBlanks(text.slice(end))]
}

function linesOf(text: string): readonly Line[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.startsWith('#')) return []
    const [word, rest] = splitWord(trimBlanks(line))
    return word === '' ? [] : [{ path: `line ${i + 1}`, word, rest }]
  })
}

/** The access of a line and its topic; a topic that stands alone is for both directions. */
function readAccess({ path, rest }: Line, draft: ImportDraft): { word: string; topic: string } | undefined {
  const [first, topic] = splitWord(rest)
  if (first === '') return draft.refuse(path, 'names no topic')
  if (topic === '') return { word: 'readwrite', topic: first }
  if (Object.hasOwn(access, first)) return { word: first, topic }
  return draft.refuse(
    path,
    `the access is read, write, readwrite or deny, not ${quote(first)}; a topic with a space in it needs one`,
  )
}

/** The pieces of a pattern: `%c` and `%u` are the client id and the user name, each a level of its own. */
function patternPieces(topic: string, path: string, draft: ImportDraft): readonly PatternPiece[] | undefined {
  const pieces: PatternPiece[] = []
  for (const [i, level] of topic.split('/').entries()) {
    if (i > 0) pieces.push('/')
    if (level === '%c' || level === '%u') pieces.push({ variable: level === '%c' ? 'clientId' : 'username' })
    else if (/%[cu]/.test(level)) return draft.refuse(path, `${quote(level)}: %c and %u must be a whole level`)
    else pieces.push(level)
  }
  return pieces
}

const hasUsername: WhenDocument = { username: { exists: true } }

/** Lines before the first `user` are for clients without a user name. */
function isUser(user: string | undefined): WhenDocument {
  return { username: user === undefined ? { exists: false } : { eq: user } }
}

class AclFile {
  readonly #draft: ImportDraft
  #user: string | undefined
  #hasPatterns = false

  constructor(draft: ImportDraft) {
    this.#draft = draft
  }

  read(line: Line): void {
    const { path, word, rest } = line
    if (word === 'user') {
      if (rest === '') this.#draft.refuse(path, 'names no user')
      this.#user = rest
    } else if (word === 'topic' || word === 'pattern') this.#readTopic(line, word === 'pattern')
    else
      this.#draft.refuse(
        path,
        `begins with ${quote(word)}; a line begins with user, topic or pattern, and a comment with #`,
      )
  }

  #readTopic(line: Line, isPattern: boolean): void {
    const found = readAccess(line, this.#draft)
    const pieces = found && (isPattern ? patternPieces(found.topic, line.path, this.#draft) : [found.topic])
    const filter = pieces && filterFrom(pieces, line.path, this.#draft)
    if (!found || !pieces || filter === undefined) return
    const isDeny = found.word === 'deny'
    if (isPattern) this.#hasPatterns = true
    const namesUser = pieces.some(
      (piece) => typeof piece === 'object' && 'variable' in piece && piece.variable === 'username',
    )
    const when = isPattern ? (namesUser ? hasUsername : undefined) : isUser(this.#user)
    this.#draft.addRule(line.path, {
      id: this.#draft.countedId(line.path.replace(' ', '-')),
      effect: isDeny ? 'deny' : 'allow',
      priority: isPattern ? PATTERN_TIER : USER_TIER,
      ...(when ? { when } : {}),
      actions: access[found.word] ?? [],
      topics: [mqttMatcher(filter, isDeny ? 'deny' : 'allow')],
    })
    if (isPattern) this.#noteVariables(line, pieces, isDeny)
  }

  /** A value with a slash in it becomes several levels in Mosquitto 2.0, and matches nothing from 2.1 on. */
  #noteVariables({ path }: Line, pieces: readonly PatternPiece[], isDeny: boolean): void {
    const guard = isDeny ? unusableValueGuard(pieces, '/') : undefined
    if (guard)
      this.#draft.addRule(path, {
        id: this.#draft.countedId('ids-with-slash'),
        priority: PATTERN_TIER,
        actions: everyAction,
        ...guard,
      })
    if (pieces.some((piece) => typeof piece === 'object'))
      this.#draft.note(
        'stricter',
        '',
        'an id that holds a slash, or begins with $ at the front of a topic, is not put into a pattern: a grant is left out, a deny refuses all below',
      )
  }

  finish(): void {
    if (!this.#hasPatterns) return
    this.#draft.addRule('', { ...patternGuard, id: this.#draft.countedId(patternGuard.id) })
  }
}

/**
 * Imports the text of an ACL file of Mosquitto. Publishes and deliveries are decided as there; a subscription that overlaps
 * what is granted is accepted, and its deliveries are filtered.
 */
export function importMosquitto(input: unknown, { id = 'mosquitto' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const lines = linesOf(readText(input, draft) ?? '')
  if (lines.length > MAX_LINES) draft.refuse('', `more than ${MAX_LINES} lines`)
  else {
    const file = new AclFile(draft)
    for (const line of lines) file.read(line)
    file.finish()
    draft.note(
      'stricter',
      '',
      'a SUBSCRIBE that overlaps no grant is refused; Mosquitto accepts it and delivers nothing',
    )
  }
  return draft.finish({ id, default: 'deny', options: { subscribe: 'filtered' } })
}
