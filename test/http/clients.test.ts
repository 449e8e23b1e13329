import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { newId } from '#src/core/ids.ts'
import { Sealwire, SealwireError } from '#src/sdk/index.ts'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'
import { runCli } from '#test/support/cli.ts'

const BLOCKED = '/api/v2/clients/blocked'
const UNAUTHORISED = '/api/v2/clients/unauthorised'

describe('clients of brokers over HTTP, in the SDK and on the command line', () => {
  let api: ApiServer
  let sdk: Sealwire
  let env: Record<string, string>
  let tenantId: string
  let sql: pg.Client
  before(async () => {
    api = await startApiServer()
    sdk = new Sealwire({ baseUrl: api.url, apiKey: api.ownerKey })
    env = { SEALWIRE_URL: api.url, SEALWIRE_API_KEY: api.ownerKey }
    sql = new pg.Client({ connectionString: api.databaseUrl })
    await sql.connect()
    tenantId = (await sql.query<{ id: string }>('select id from tenants')).rows[0]?.id ?? assert.fail()
  })
  after(async () => {
    await sql.end()
    await api.close()
  })

  async function keyOf(role: string): Promise<string> {
    const made = await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: role, role } }), 201)
    return made.secret
  }

  async function addUnauthorised(clientId: string, minute: number, reason = 'wrong-password'): Promise<string> {
    const id = newId('una')
    await sql.query(
      `insert into unauthorised_clients (tenant_id, hook, client_id, id, password_provided, reason, count, first_at, last_at)
       values ($1, 'default', $2, $3, true, $4, 3, $5, $5)`,
      [tenantId, clientId, id, reason, new Date(Date.UTC(2026, 10, 21, 9, minute))],
    )
    return id
  }

  test('an entry is made, read, listed and removed, each step on the audit log', async () => {
    const body = { type: 'ip', value: '10.0.0.0/8', description: 'lab', expires_at: '2099-01-01T00:00:00.000Z' }
    const made = await succeed(api.call('POST', BLOCKED, { body }), 201)
    assert.deepEqual([made.type, made.value, made.description, made.is_active], ['ip', '10.0.0.0/8', 'lab', true])
    assert.deepEqual(await succeed(api.call('GET', `${BLOCKED}/${made.id}`), 200), made)
    assert.deepEqual(await succeed(api.call('GET', BLOCKED), 200), [made])
    const again = await refused(api.call('POST', BLOCKED, { body }), 409, 'object.in_use')
    assert.equal(again.json.error.details.id, made.id)
    assert.deepEqual(await succeed(api.call('DELETE', `${BLOCKED}/${made.id}`), 200), { id: made.id, deleted: true })
    await refused(api.call('DELETE', `${BLOCKED}/${made.id}`), 404, 'object.not_found')
    await refused(api.call('GET', `${BLOCKED}/${made.id}`), 404, 'object.not_found')
    const rows = await succeed(api.call('GET', '/api/v2/audit/logs'))
    const changes = rows.filter(({ action }: { action: string }) => action.startsWith('clients.'))
    assert.deepEqual(
      changes.map((row: { action: string; object: { id: string } }) => [row.action, row.object.id]),
      [
        ['clients.unblock', made.id],
        ['clients.block', made.id],
      ],
    )
  })

  test('an address is kept in one spelling, so that no second entry keeps blocking it', async () => {
    const spellings = [
      ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
      ['10.1.2.3/32', '10.1.2.3'],
      ['2001:DB8:0:0::1/128', '2001:db8::1'],
      ['2001:db8:ffff::/33', '2001:db8:8000::/33'],
      ['::/0', '::/0'],
    ] as const
    for (const [value, kept] of spellings) {
      const made = await succeed(api.call('POST', BLOCKED, { body: { type: 'ip', value } }), 201)
      assert.equal(made.value, kept)
      const again = await refused(
        api.call('POST', BLOCKED, { body: { type: 'ip', value: kept } }),
        409,
        'object.in_use',
      )
      assert.equal(again.json.error.details.id, made.id)
      await succeed(api.call('DELETE', `${BLOCKED}/${made.id}`), 200)
    }
  })

  test('the same request with its key is done once', async () => {
    const options = {
      body: { type: 'username', value: 'once' },
      headers: { 'idempotency-key': 'block-once' },
    }
    const first = await succeed(api.call('POST', BLOCKED, options), 201)
    assert.deepEqual(await succeed(api.call('POST', BLOCKED, options), 201), first)
    await succeed(api.call('DELETE', `${BLOCKED}/${first.id}`), 200)
  })

  const bad: readonly { why: string; body: unknown; says: RegExp }[] = [
    { why: 'an unknown type', body: { type: 'mac', value: 'x' }, says: /type/ },
    { why: 'no value', body: { type: 'client_id' }, says: /value/ },
    { why: 'an empty value', body: { type: 'client_id', value: '' }, says: /value/ },
    { why: 'no address', body: { type: 'ip', value: 'localhost' }, says: /value: must be an IP address/ },
    {
      why: 'an expression with a look-ahead',
      body: { type: 'client_id_regex', value: '(?=a)' },
      says: /value: .*character/,
    },
    {
      why: 'a time that has passed',
      body: { type: 'client_id', value: 'x', expires_at: '2020-01-01T00:00:00Z' },
      says: /expires_at/,
    },
    { why: 'an unknown member', body: { type: 'client_id', value: 'x', until: 1 }, says: /until/ },
  ]
  for (const { why, body, says } of bad) {
    test(`an entry with ${why} is refused, and the member named`, async () => {
      const reply = await refused(api.call('POST', BLOCKED, { body }), 400, 'request.invalid')
      assert.match(reply.json.error.message, says)
    })
  }

  test('reading needs policies:read and audit:read, changing policies:write', async () => {
    const [viewer, editor] = [await keyOf('viewer'), await keyOf('editor')]
    await succeed(api.call('GET', BLOCKED, { key: viewer }), 200)
    await succeed(api.call('GET', UNAUTHORISED, { key: viewer }), 200)
    const id = newId('blk')
    for (const key of [viewer, editor]) {
      const body = { type: 'client_id', value: 'x' }
      await refused(api.call('POST', BLOCKED, { key, body }), 403, 'auth.forbidden')
      await refused(api.call('DELETE', `${BLOCKED}/${id}`, { key }), 403, 'auth.forbidden')
      await refused(api.call('DELETE', UNAUTHORISED, { key }), 403, 'auth.forbidden')
      await refused(api.call('DELETE', `${UNAUTHORISED}/${newId('una')}`, { key }), 403, 'auth.forbidden')
    }
    await refused(api.call('GET', BLOCKED, { key: null }), 401, 'auth.unauthenticated')
    await refused(api.call('GET', UNAUTHORISED, { key: null }), 401, 'auth.unauthenticated')
    assert.deepEqual(await succeed(api.call('GET', BLOCKED)), [])
  })

  test('the list of unauthorised clients has pages, filters, and rows that can be removed', async () => {
    for (let i = 0; i < 5; i++) await addUnauthorised(`c${i}`, i, i === 3 ? 'blocked' : 'wrong-password')
    const seen: string[] = []
    let cursor = ''
    do {
      const reply = await api.call('GET', `${UNAUTHORISED}?limit=2${cursor}`)
      for (const row of await succeed(Promise.resolve(reply), 200)) seen.push(row.client_id)
      const next: string | undefined = reply.json.meta.next_cursor
      cursor = next === undefined ? '' : `&cursor=${encodeURIComponent(next)}`
    } while (cursor !== '')
    assert.deepEqual(seen, ['c4', 'c3', 'c2', 'c1', 'c0'])
    const [blocked, ...more] = await succeed(api.call('GET', `${UNAUTHORISED}?reason=blocked`), 200)
    assert.deepEqual([blocked.client_id, blocked.count, more.length], ['c3', 3, 0])
    assert.deepEqual(await succeed(api.call('GET', `${UNAUTHORISED}?hook=other`), 200), [])
    await sql.query(`update unauthorised_clients set let_in_at = '2026-11-21T10:00:00Z' where client_id = 'c4'`)
    const [entered, ...others] = await succeed(api.call('GET', `${UNAUTHORISED}?let_in=true`), 200)
    assert.deepEqual([entered.client_id, entered.let_in_at, others], ['c4', '2026-11-21T10:00:00.000Z', []])
    const out = await succeed(api.call('GET', `${UNAUTHORISED}?let_in=false`), 200)
    assert.deepEqual(
      out.map((row: { client_id: string }) => row.client_id),
      ['c3', 'c2', 'c1', 'c0'],
    )
    assert.deepEqual((await sdk.unauthorisedClients.list({ letIn: false })).length, 4)
    const shown = async (...options: string[]) =>
      (await runCli(['clients', 'unauthorised', 'list', ...options], { env })).out.split('\n')
    assert.match((await shown())[0] ?? '', /"c4" {2}let in 2026-11-21T10:00:00\.000Z$/)
    assert.equal((await shown('--still-out')).length, 4)
    await refused(api.call('GET', `${UNAUTHORISED}?let_in=maybe`), 400, 'request.invalid')
    await refused(api.call('GET', `${UNAUTHORISED}?limit=2&cursor=forged`), 400, 'request.invalid')
    await succeed(api.call('DELETE', `${UNAUTHORISED}/${blocked.id}`), 200)
    await refused(api.call('DELETE', `${UNAUTHORISED}/${blocked.id}`), 404, 'object.not_found')
    assert.deepEqual(await succeed(api.call('DELETE', UNAUTHORISED), 200), { deleted: 4 })
    assert.deepEqual(await succeed(api.call('GET', UNAUTHORISED), 200), [])
    const [cleared] = await succeed(api.call('GET', '/api/v2/audit/logs?action=clients.clear_unauthorised'))
    assert.equal(cleared.detail.count, 4)
  })

  for (const { filter, says } of [
    { filter: 'reason=wrong_password', says: /reason.*wrong-password/ },
    { filter: 'client_id=a%00b', says: /client_id/ },
    { filter: 'hook=a%00b', says: /hook/ },
    { filter: `client_id=${'x'.repeat(257)}`, says: /client_id/ },
  ]) {
    test(`a filter ${filter.slice(0, 24)} that no row can have is refused, and the member named`, async () => {
      const reply = await refused(api.call('GET', `${UNAUTHORISED}?${filter}`), 400, 'request.invalid')
      assert.match(reply.json.error.message, says)
    })
  }

  test('another tenant sees nothing of the lists and changes nothing in them', async () => {
    const other = newId('ten')
    await sql.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [other])
    const [blocked, unauthorised] = [newId('blk'), newId('una')]
    await sql.query(
      `insert into blocked_clients (tenant_id, id, type, value, description, created_at, created_by)
       values ($1, $2, 'client_id', 'theirs', '', now(), 'key_1')`,
      [other, blocked],
    )
    await sql.query(
      `insert into unauthorised_clients (tenant_id, hook, client_id, id, password_provided, reason, count, first_at, last_at)
       values ($1, 'default', 'theirs', $2, true, 'blocked', 1, now(), now())`,
      [other, unauthorised],
    )
    assert.deepEqual(await succeed(api.call('GET', BLOCKED), 200), [])
    assert.deepEqual(await succeed(api.call('GET', UNAUTHORISED), 200), [])
    await refused(api.call('GET', `${BLOCKED}/${blocked}`), 404, 'object.not_found')
    await refused(api.call('DELETE', `${BLOCKED}/${blocked}`), 404, 'object.not_found')
    await refused(api.call('DELETE', `${UNAUTHORISED}/${unauthorised}`), 404, 'object.not_found')
    assert.deepEqual(await succeed(api.call('DELETE', UNAUTHORISED), 200), { deleted: 0 })
    const mine = await succeed(api.call('POST', BLOCKED, { body: { type: 'client_id', value: 'theirs' } }), 201)
    await succeed(api.call('DELETE', `${BLOCKED}/${mine.id}`), 200)
    const left = await sql.query(
      `select id from blocked_clients where tenant_id = $1 union all select id from unauthorised_clients where tenant_id = $1`,
      [other],
    )
    assert.deepEqual(new Set(left.rows.map(({ id }) => id)), new Set([blocked, unauthorised]))
  })

  test('the SDK does all of it', async () => {
    const made = await sdk.blockedClients.create({ type: 'client_id_regex', value: 'tmp-.*', description: 'test rigs' })
    assert.deepEqual([made.type, made.isActive, made.expiresAt], ['client_id_regex', true, null])
    assert.deepEqual(await sdk.blockedClients.get(made.id), made)
    assert.deepEqual(await sdk.blockedClients.list(), [made])
    await assert.rejects(
      sdk.blockedClients.create({ type: 'client_id_regex', value: 'tmp-.*' }),
      (err) => err instanceof SealwireError && err.code === 'object.in_use' && err.details?.['id'] === made.id,
    )
    await sdk.blockedClients.remove(made.id)
    assert.deepEqual(await sdk.blockedClients.list(), [])

    const first = await addUnauthorised('a&b=c', 1)
    await addUnauthorised('d', 2)
    const [found, ...more] = await sdk.unauthorisedClients.list({ clientId: 'a&b=c', reason: 'wrong-password' })
    assert.deepEqual([found?.id, found?.clientId, found?.passwordProvided, more.length], [first, 'a&b=c', true, 0])
    assert.equal((await sdk.unauthorisedClients.list()).length, 2)
    await sdk.unauthorisedClients.remove(first)
    assert.deepEqual(await sdk.unauthorisedClients.clear(), { deleted: 1 })
  })

  test('the command line does all of it, and prints nothing that moves a cursor', async () => {
    const expiry = ['--expires-at', '2099-01-01T00:00:00Z']
    const add = ['clients', 'blocked', 'add', '198.51.100.0/24', '--type', 'ip', '--description', 'lab', ...expiry]
    const { code, out } = await runCli(add, { env })
    assert.equal(code, 0)
    const id = /^(blk_\w+) blocks ip 198\.51\.100\.0\/24$/.exec(out)?.[1] ?? assert.fail(out)
    for (const [value, option] of [
      ['198.51.100.7', 'ip'],
      ['2001:db8::/32', 'ip'],
      ['tmp-.*', 'client_id_regex'],
    ] as const) {
      const made = await runCli(['clients', 'blocked', 'add', value], { env })
      assert.equal(made.code, 0)
      assert.match(made.err, new RegExp(`--type ${option}`), 'it is a client id, and says so')
      const plain = await runCli(['clients', 'blocked', 'add', value, '--type', 'username'], { env })
      assert.deepEqual([plain.code, plain.err], [0, ''], 'a type that was said is meant')
      for (const { out } of [made, plain])
        assert.equal((await runCli(['clients', 'blocked', 'remove', out.split(' ')[0] ?? ''], { env })).code, 0)
    }
    await runCli(['clients', 'blocked', 'add', 'evil\u001b[2J'], { env })
    const listed = (await runCli(['clients', 'blocked', 'list'], { env })).out.split('\n')
    assert.match(listed[1] ?? '', /^blk_\w+ {2}ip {15}198\.51\.100\.0\/24 {2}until 2099-01-01T00:00:00\.000Z {2}lab$/)
    assert.match(listed[0] ?? '', /evil\\u\{1b\}\[2J {2}for good$/)
    const removed = await runCli(['clients', 'blocked', 'remove', id], { env })
    assert.deepEqual(removed, { code: 0, out: `removed ${id}`, err: '' })
    assert.equal((await runCli(['clients', 'blocked', 'remove', id], { env })).code, 1)
    assert.equal((await runCli(['clients', 'blocked', 'add', 'x', '--type', 'mac'], { env })).code, 2)
    const json = JSON.parse((await runCli(['clients', 'blocked', 'list', '--json'], { env })).out) as unknown[]
    assert.equal(json.length, 1)

    const row = await addUnauthorised('c1\u001b[2J', 7)
    const lines = await runCli(['clients', 'unauthorised', 'list', '--reason', 'wrong-password'], { env })
    assert.match(
      lines.out,
      new RegExp(`^${row} {2}2026-11-21T09:07:00\\.000Z {2}default {2}wrong-password {2}3x {2}"c1.*"$`),
    )
    assert.ok(!lines.out.includes('\u001b'))
    const gone = await runCli(['clients', 'unauthorised', 'remove', row], { env })
    assert.deepEqual(gone, { code: 0, out: `removed ${row}`, err: '' })
    await addUnauthorised('c2', 8)
    assert.equal((await runCli(['clients', 'unauthorised', 'clear'], { env })).out, 'removed 1')
  })

  for (const command of [
    'blocked add',
    'blocked list',
    'blocked remove',
    'unauthorised list',
    'unauthorised remove',
    'unauthorised clear',
  ]) {
    test(`sealwire clients ${command} --help teaches with an example and exits 0`, async () => {
      const { code, out, err } = await runCli(['clients', ...command.split(' '), '--help'])
      assert.deepEqual([code, err], [0, ''])
      assert.match(out, /Examples?:\n/)
      assert.ok(out.includes(`$ sealwire clients ${command}`), out)
    })
  }
})
