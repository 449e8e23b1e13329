import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { NO_TENANT } from '#src/core/ids.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let requestId: string

before(async () => {
  plant = await startPlant()
  const body = { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } }
  requestId = (await plant.api.call('POST', '/api/v2/proxy/outbound', { body })).json.meta.request_id
})
after(() => plant.close())

interface Row {
  id: string
  seq: number
  action: string
  prev_hash: string
  hash: string
}

test('a publish leaves intent and outcome, found by the request id of its answer', async () => {
  const rows: Row[] = await succeed(plant.api.call('GET', `/api/v2/audit/logs?request_id=${requestId}`))
  assert.deepEqual(
    rows.map(({ action }) => action),
    ['proxy.publish.outcome', 'proxy.publish.intent'],
  )
  const [one] = rows
  assert.deepEqual(await succeed(plant.api.call('GET', `/api/v2/audit/logs/${one?.id}`)), one)
})

test('pages follow each other without a gap, each row chained to the one before', async () => {
  const rows: Row[] = []
  let cursor = ''
  do {
    const page = await plant.api.call('GET', `/api/v2/audit/logs?limit=2${cursor}`)
    rows.push(...page.json.data)
    cursor = page.json.meta.next_cursor === undefined ? '' : `&cursor=${page.json.meta.next_cursor}`
  } while (cursor !== '')
  assert.ok(rows.length >= 5)
  rows.reverse()
  assert.deepEqual(
    rows.map(({ seq }) => seq),
    rows.map((_, i) => i + 1),
  )
  for (const [i, row] of rows.entries()) assert.equal(row.prev_hash, rows[i - 1]?.hash ?? '00'.repeat(32))
})

test('reading leaves no row, and a filter narrows', async () => {
  const count = async (query = '') =>
    ((await succeed(plant.api.call('GET', `/api/v2/audit/logs?limit=200${query}`))) as Row[]).length
  const all = await count()
  assert.equal(await count(), all)
  assert.equal(await count('&action=vault.seal'), 1)
  assert.equal(await count('&outcome=unknown'), 0)
})

for (const member of ['action', 'request_id', 'message_id']) {
  test(`a filter by ${member} that no row can have is refused, and the member named`, async () => {
    const reply = await refused(plant.api.call('GET', `/api/v2/audit/logs?${member}=a%00b`), 400, 'request.invalid')
    assert.match(reply.json.error.message, new RegExp(member))
  })
}

test('a key without audit:read is refused', async () => {
  const body = { name: 'narrow', role: 'viewer', scopes: ['vault:read'] }
  const { secret } = await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { body }), 201)
  await refused(plant.api.call('GET', '/api/v2/audit/logs', { key: secret }), 403, 'auth.forbidden')
})

test('verify finds an edited row, and nothing where nothing was edited', async () => {
  const verify = () => succeed(plant.api.call('POST', '/api/v2/audit/verify'))
  assert.equal((await verify()).ok, true)
  const sql = new pg.Client({ connectionString: plant.api.databaseUrl })
  await sql.connect()
  const edit = (from: string, to: string) =>
    sql.query(
      `update audit_rows set row_bytes = convert_to(replace(convert_from(row_bytes, 'UTF8'), $1, $2), 'UTF8') where seq = 2 and tenant_id <> '${NO_TENANT}'`,
      [from, to],
    )
  await edit('"success"', '"failure"')
  const report = await verify()
  assert.equal(report.ok, false)
  assert.equal(report.first_bad_seq, 2)
  await edit('"failure"', '"success"')
  await sql.end()
  assert.equal((await verify()).ok, true)
})
