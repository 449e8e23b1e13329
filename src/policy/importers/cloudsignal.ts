import type { PolicyDocument } from '../document.ts'
import { isJsonObject, kindOf, quote, Reader } from '../problems.ts'
import { importBoundRules } from './cloudsignal-bound.ts'
import { importNamedRules } from './cloudsignal-named.ts'
import { importUserRules } from './cloudsignal-user.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsIn, objectsOf, readJson, refuseUnknown } from './read-source.ts'

type Head = Omit<PolicyDocument, 'schema' | 'id' | 'rules'>
type Dialect = (options: ImportOptions) => Head

const MAX_RULES = 100_000
const dialects =
  'known are A (version "2.0" with default_action), B (version "2" or "2.1" with default, global, rules), C ({"rules": [{user, topic, permission}]}) and D (a list of {user, topic, permission})'

function hasUserRules(rules: unknown): boolean {
  return Array.isArray(rules) && rules.every((rule) => isJsonObject(rule) && Object.hasOwn(rule, 'permission'))
}

/** Finds out which of the dialects that are published under one name a document is in. */
function dialectOf(json: unknown, draft: ImportDraft): Dialect | undefined {
  if (Array.isArray(json)) {
    if (hasUserRules(json)) return () => importUserRules(objectsIn(json, MAX_RULES, draft), 'D', draft)
    return draft.refuse('', `a list whose elements have no permission; ${dialects}`)
  }
  if (!isJsonObject(json)) return draft.refuse('', `${kindOf(json)} is no policy; ${dialects}`)
  const document = new Reader(json, '', draft.problems)
  const version = Object.hasOwn(json, 'version') ? json['version'] : undefined
  if (version === '2.0') return (options) => importNamedRules(document, options, draft)
  if (version === '2' || version === '2.1') return () => importBoundRules(document, draft)
  const seen =
    typeof version === 'string'
      ? `version ${quote(version)}`
      : version === undefined
        ? 'no version'
        : `a version that is ${kindOf(version)}`
  if (version === undefined && hasUserRules(json['rules'])) {
    refuseUnknown(document, ['rules'])
    return () => importUserRules(objectsOf(document, 'rules', MAX_RULES), 'C', draft)
  }
  return draft.refuse(
    'version',
    `the dialect is not known: ${seen}, members ${Object.keys(json).slice(0, 8).map(quote).join(', ') || 'none'}; ${dialects}`,
  )
}

/** Imports a policy of CloudSignal, of which four dialects are published; which it is shows in the document. */
export function importCloudsignal(input: unknown, options: ImportOptions): ImportResult {
  const { id = 'cloudsignal' } = options
  const draft = new ImportDraft()
  const json = readJson(input, draft)
  const dialect = json === undefined ? undefined : dialectOf(json, draft)
  return draft.finish({ id, ...dialect?.(options) })
}
