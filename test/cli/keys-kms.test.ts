import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LoadOperator, Operator } from '#src/cli/operator.ts'
import type { KeyJob } from '#src/keys/key-job.ts'
import { runCli } from '#test/support/cli.ts'

const job: KeyJob = {
  id: 'job_1',
  kind: 'kms-rewrap',
  tenantId: '-',
  target: 'local-b',
  state: 'done',
  cursor: null,
  moved: 12,
  unusable: [],
  unusableCount: 0,
  problem: null,
  runAt: new Date(0),
  emptiedAt: null,
  createdAt: new Date(0),
  finishedAt: new Date(1),
}
const uses = [
  { kmsKeyId: 'local-a', isDefault: false, keys: 0, shares: 1, tenants: ['ten_1'] },
  { kmsKeyId: 'local-b', isDefault: true, keys: 7, shares: 4, tenants: [] },
]

function operatorWith(parts: Partial<Operator>): LoadOperator {
  return async () => parts as Operator
}

test('rewrap prints what each KMS key guards, and ends with 0 when everything moved', async () => {
  const asked: unknown[] = []
  const operator = operatorWith({
    rewrapWraps: async (_config, input) => {
      asked.push(input)
      return { job, uses }
    },
  })
  const { code, out, err } = await runCli(['keys', 'rewrap', '--to', 'local-b'], { operator })
  assert.deepEqual(asked, [{ to: 'local-b', tenantId: undefined }])
  assert.equal(code, 0)
  assert.equal(out, 'local-a  keys: 0  shares: 1  tenants: ten_1\nlocal-b  keys: 7  shares: 4  for new wraps')
  assert.equal(err, 'Done: 12 rows moved to local-b.')
})

test('rewrap ends with 1 and names the rows that do not open', async () => {
  const stuck = { ...job, state: 'waiting' as const, unusableCount: 2, unusable: ['ten_1/a/1', 'ten_1/b/1\u001b[2J'] }
  const operator = operatorWith({ rewrapWraps: async () => ({ job: stuck, uses }) })
  const { code, err } = await runCli(['keys', 'rewrap', '--to', 'local-b', '--tenant', 'ten_1'], { operator })
  assert.equal(code, 1)
  assert.match(err, /2 rows do not open[\s\S]*ten_1\/a\/1\n {2}ten_1\/b\/1\\u\{1b\}/)
})

test('rewrap without --to is misuse', async () => {
  assert.equal((await runCli(['keys', 'rewrap'], { operator: operatorWith({}) })).code, 2)
})

test('kms list prints JSON; kms remove passes the id on and says what a backup needs', async () => {
  const removed: string[] = []
  const operator = operatorWith({
    listKmsKeys: async () => uses,
    removeKmsKey: async (_config, id) => {
      removed.push(id)
    },
  })
  const { out } = await runCli(['keys', 'kms', 'list', '--json'], { operator })
  assert.deepEqual(JSON.parse(out)[0], {
    kms_key_id: 'local-a',
    default: false,
    keys: 0,
    shares: 1,
    tenants: ['ten_1'],
  })
  const { code, err } = await runCli(['keys', 'kms', 'remove', 'local-a'], { operator })
  assert.deepEqual([code, removed], [0, ['local-a']])
  assert.match(err, /needs a backup of the ring/)
})
