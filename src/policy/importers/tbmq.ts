import { isJsonObject, kindOf, Reader } from '../problems.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsIn, objectsOf, readJson, refuseUnknown } from './read-source.ts'
import { importBlockedClient, isBlockedClient } from './tbmq-blocked.ts'
import { importCredentials, isCredential } from './tbmq-credentials.ts'
import { addAuthRules, addPatternRules, type RuleTarget, TOP_PRIORITY } from './tbmq-rules.ts'

const MAX_ENTRIES = 50_000

const sessionTarget: RuleTarget = { name: 'session', when: {}, priority: 0, hasCn: false }

/** What a JWT or an HTTP service says about one session; its rules hold for whoever is asked about. */
function importSession(session: Reader, draft: ImportDraft): void {
  refuseUnknown(session, ['result', 'clientType', 'authRules'])
  const result = session.text('result', 64)
  if (result !== undefined && result.toLowerCase() !== 'success')
    session.refuse('result', 'only an answer of success has rules')
  if (session.has('clientType'))
    draft.note('dropped', session.at('clientType'), 'an attribute of the client (type), not a condition of rules')
  addAuthRules(session, sessionTarget, draft)
}

function importEntries(entries: readonly Reader[], draft: ImportDraft): void {
  importCredentials(
    entries.filter((entry) => isCredential(entry)),
    draft,
  )
  for (const entry of entries) {
    if (isCredential(entry)) continue
    if (isBlockedClient(entry)) importBlockedClient(entry, draft)
    else
      draft.refuse(
        entry.path,
        'neither a credential (credentialsType) nor a blocked client (type CLIENT_ID, USERNAME, IP_ADDRESS, REGEX)',
      )
  }
}

function importObject(document: Reader, draft: ImportDraft): void {
  const hasSome = (...names: string[]) => names.some((name) => document.has(name))
  if (isCredential(document) || isBlockedClient(document)) importEntries([document], draft)
  else if (hasSome('credentials', 'blockedClients')) {
    refuseUnknown(document, ['credentials', 'blockedClients'])
    const lists = ['credentials', 'blockedClients'].map((name) => objectsOf(document, name, MAX_ENTRIES))
    importEntries(lists.flat(), draft)
  } else if (hasSome('authRules', 'result', 'clientType')) importSession(document, draft)
  else addPatternRules(document, sessionTarget, draft)
}

function importDocument(json: unknown, draft: ImportDraft): void {
  if (Array.isArray(json)) importEntries(objectsIn(json, MAX_ENTRIES, draft), draft)
  else if (isJsonObject(json)) importObject(new Reader(json, '', draft.problems), draft)
  else draft.refuse('', `must be an object or a list, is ${kindOf(json)}`)
}

/**
 * Imports authorisation of TBMQ: credentials with their rules, blocked clients, or the lists that a JWT or an HTTP service
 * gives for one session. Names are decided as there, but for the spots that the notes name.
 */
export function importTbmq(input: unknown, { id = 'tbmq' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const json = readJson(input, draft)
  if (json !== undefined) importDocument(json, draft)
  draft.addRule('', {
    id: draft.countedId('no-publish-to-dollar'),
    description: 'TBMQ refuses every publish to a topic that begins with $.',
    effect: 'deny',
    priority: TOP_PRIORITY,
    actions: ['publish'],
    topics: [{ regex: '\\$[\\d\\D]*' }], // not `.`, which leaves line separators out
  })
  return draft.finish({ id, default: 'deny' })
}
