import type { WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'
import { refuseUnknown, textsOf } from './read-source.ts'

const SUBJECTS = ['types', 'ids', 'groups', 'scopes']
const MAX_LIST = 1_000

/** A scope of a rule that ends in `.*` stands for the scopes that begin so. */
function scopeTest(scopes: readonly string[]): WhenDocument {
  const exact = scopes.filter((scope) => !scope.endsWith('.*'))
  const prefixes = scopes.filter((scope) => scope.endsWith('.*')).map((scope) => scope.slice(0, -1))
  const tests: WhenDocument[] = []
  if (exact.length > 0) tests.push({ scopes: { anyOf: exact } })
  if (prefixes.length > 0) tests.push({ scopes: { anyPrefix: prefixes } })
  return { anyOf: tests }
}

function subjectTest(name: string, values: readonly string[]): WhenDocument {
  if (name === 'types') return { type: values }
  if (name === 'ids') return { sub: { in: values } }
  return name === 'groups' ? { groups: { anyOf: values } } : scopeTest(values)
}

/** The tests of a rule's subjects, all of which must hold; `undefined` when nobody can pass them. */
export function readSubjects(subjects: Reader, draft: ImportDraft): readonly WhenDocument[] | undefined {
  refuseUnknown(subjects, SUBJECTS)
  const tests: WhenDocument[] = []
  let reachable = true
  for (const name of SUBJECTS) {
    if (!subjects.has(name) || subjects.json[name] === '*') continue
    const values = textsOf(subjects, name, MAX_LIST)
    for (const { text, path } of values) {
      if (text === '*') draft.refuse(path, `"*" stands for everybody only as the text ${name}: "*", not in a list`)
      if (name === 'types' && !['user', 'service', 'anonymous'].includes(text))
        draft.refuse(path, 'must be user, service or anonymous')
    }
    if (values.length === 0) reachable = false
    else
      tests.push(
        subjectTest(
          name,
          values.map(({ text }) => text),
        ),
      )
  }
  if (!reachable) draft.note('dropped', subjects.path, 'an empty list matches nobody, so the rule never decides')
  return reachable ? tests : undefined
}
