import { isJsonObject, Reader } from '../problems.ts'
import { AwsRules } from './aws-rules.ts'
import { type AwsStatement, readStatement } from './aws-statement.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsOf, readJsonObject, refuseUnknown, requireMembers } from './read-source.ts'

const MAX_STATEMENTS = 10_000

function readStatements(policy: Reader, draft: ImportDraft): readonly AwsStatement[] {
  refuseUnknown(policy, ['Version', 'Id', 'Statement'])
  requireMembers(policy, ['Version', 'Statement'])
  if (policy.has('Version') && policy.json['Version'] !== '2012-10-17')
    policy.refuse('Version', 'must be "2012-10-17"; the older one knows no policy variables')
  const single = isJsonObject(policy.json['Statement'])
  const list = single
    ? new Reader({ ...policy.json, Statement: [policy.json['Statement']] }, '', draft.problems)
    : policy
  return objectsOf(list, 'Statement', MAX_STATEMENTS).map((statement, i) => readStatement(statement, i, draft))
}

/**
 * Imports a policy of AWS IoT Core: every statement in one tier, where a deny decides. Texts are matched as there: `*` and
 * `?` cross slashes, and `+` and `#` of a filter are plain characters.
 */
export function importAws(input: unknown, { id = 'aws' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const policy = readJsonObject(input, draft)
  const statements = policy ? readStatements(policy, draft) : []
  const rules = new AwsRules(statements, draft)
  for (const statement of statements) {
    if (draft.isTooLarge) break
    rules.add(statement)
  }
  const pieces = statements.flatMap(({ resources }) => resources.flatMap((one) => one.pieces))
  if (pieces.some((piece) => typeof piece === 'object' && 'variable' in piece))
    draft.note(
      'stricter',
      '',
      'a client id or certificate field that holds / + or # is not put into a topic; a grant with it is left out',
    )
  if (pieces.some((piece) => typeof piece === 'object' && 'wild' in piece))
    draft.note('changed', '', '* and ? of an allow do not stand for line separators in a topic')
  return draft.finish({
    id,
    default: { publish: 'deny', subscribe: 'deny', connect: 'deny' },
    options: { receive: 'explicit' },
  })
}
