import { test } from 'node:test'
import { checkEngineAgainstModel } from './engine-equals-model.ts'
import { propertySeed } from './seed.ts'
import { Tally } from './tally.ts'

const each = (names: readonly string[], atLeast: number) => Object.fromEntries(names.map((name) => [name, atLeast]))
const withPrefix = (prefix: string, names: readonly string[]) => names.map((name) => `${prefix} ${name}`)

const nameOutcomes = ['allow rule', 'allow default', 'deny rule', 'deny default']
const textProblems = ['empty', 'nul', 'control-char', 'ill-formed-utf', 'too-long', 'too-many-levels']
const shareProblems = ['share-without-filter', 'share-empty-group', 'share-wildcard-group']
const refused = (action: string, problems: readonly string[]) =>
  withPrefix(
    `${action} deny`,
    problems.map((problem) => `invalid-topic:${problem}`),
  )

const features = [
  'when',
  'require',
  'eq',
  'regex',
  'text',
  'dollar',
  'no dollar',
  'variable',
  'list',
  'enc',
  'capture',
  'literal ${',
  'shared',
  'shareGroups',
  'tier',
]
const conditions = [
  'type',
  'auth',
  'listener',
  'protocol',
  'tls',
  'ip',
  'groups',
  'roles',
  'scopes',
  'anyOf',
  'allOf',
  'noneOf',
  'clientId',
  'username',
  'sub',
  'org',
  'cert.cn',
  'claims.x',
  'claims.deep.er',
  'mine',
]

/** How often each outcome, and each member of a rule that decided, has to come up at least. */
const atLeast = {
  pairs: 100_000,
  'allow after a carve-out': 200,
  ...each(
    ['publish', 'will', 'receive', 'subscribe', 'connect', 'unsubscribe'].flatMap((action) =>
      withPrefix(action, nameOutcomes),
    ),
    8,
  ),
  ...each(['subscribe deny deny-overlap', 'subscribe allow filtered', 'superuser deny invalid-action'], 300),
  ...each(['publish deny qos-exceeds', 'will deny qos-exceeds'], 30),
  ...each(refused('publish', [...textProblems, 'wildcard-in-name', 'share-in-name']), 15),
  ...each(refused('subscribe', [...textProblems, ...shareProblems, 'bad-hash', 'bad-plus']), 30),
  ...each(
    ['allow', 'deny'].flatMap((effect) => withPrefix(`${effect} by`, features)),
    120,
  ),
  ...each(withPrefix('allow by', ['path', 'qos', 'cap', 'strip', 'will']), 200),
  ...each(withPrefix('deny by', ['qos', 'will', 'overlap filter']), 40),
  ...each(withPrefix('when', conditions), 3),
}

test('the engine decides as the specification reads, for random documents, identities and requests', (t) => {
  const seed = propertySeed()
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  checkEngineAgainstModel({ seed, numRuns: 3500 }, tally)
  t.diagnostic(tally.toString())
  tally.assertReached(atLeast)
})
