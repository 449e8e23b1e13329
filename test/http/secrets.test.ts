import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import pg from 'pg'
import { startServer } from '#src/app.ts'
import { createLog } from '#src/observability/log.ts'
import { startPlant } from '#test/support/plant.ts'

/** Every spelling in which a text may be on record: base64 without its first and last characters, which depend on the place. */
function spellingsOf(secret: string): Record<string, string> {
  const bytes = Buffer.from(secret)
  const shifted = (by: number) =>
    Buffer.concat([Buffer.alloc(by), bytes])
      .toString('base64')
      .slice(4, -4)
  return {
    plain: secret,
    hexadecimal: bytes.toString('hex'),
    ...Object.fromEntries([0, 1, 2].map((by) => [`base64, shifted by ${by}`, shifted(by)])),
  }
}

/** Says how a text holds a secret; `undefined` when it does not. */
function findSecret(text: string, secret: string): string | undefined {
  const found = Object.entries(spellingsOf(secret)).find(([, spelling]) => text.includes(spelling))
  if (!found) return undefined
  const at = text.indexOf(found[1])
  return `${found[0]}: ${text.slice(Math.max(0, at - 200), at + 60)}`
}

/** Planted wherever a secret can come in; each must come out nowhere but where it is asked for. */
const CANARY = 'canary-7f3a91c2'

test('planted secrets leave by unseal alone: not in answers, errors, logs, health or any row', async () => {
  const lines: string[] = []
  const plant = await startPlant({ mosquitto: { users: { sealwire: CANARY } } })
  const { api } = plant
  const log = createLog({
    level: 'trace',
    format: 'json',
    destination: { write: (line: string) => void lines.push(line) },
  })
  const second = await startServer({ ...api.config, DATA_DIR: api.dataDir }, { log })
  const said: string[] = []
  try {
    const call = async (method: string, target: string, body?: unknown, headers: Record<string, string> = {}) => {
      const res = await fetch(second.url + target, {
        method,
        headers: {
          'x-api-key': api.ownerKey,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await res.text()
      said.push(text, inspect(res.headers))
      return JSON.parse(text)
    }
    const values = { hostname: '127.0.0.1', port: plant.broker.ports.tcp, username: 'sealwire', password: CANARY }
    const { data: entry } = await call('POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values })
    await call('POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values, [CANARY.slice(0, 3)]: 1 })
    await call('POST', '/api/v2/vault/seal', {
      credential_type: 'custom_kv',
      values: { password: CANARY, port: { deep: CANARY } },
      ttl_days: 0,
    })
    await call('POST', '/api/v2/vault/seal', `{"credential_type":"custom_kv","values":{"password":"${CANARY}"`)
    await call('POST', `/api/v2/vault/rotate/${entry.id}`, { values })
    const { data: integration } = await call('POST', '/api/v2/integrations', {
      name: 'x',
      system_type: 'mqtt',
      credential_id: entry.id,
      allowed_operations: ['publish', 'subscribe'],
      config: { topic: 'a' },
    })
    await call('POST', '/api/v2/proxy/outbound', {
      integration_id: integration.id,
      operation: 'publish',
      payload: { message: CANARY },
    })
    await call('POST', '/api/v2/proxy/outbound', {
      integration_id: integration.id,
      operation: 'publish',
      payload: { message: { a: CANARY } },
    })
    await call('POST', `/api/v2/integrations/${integration.id}/test`)
    await call('GET', '/api/v2/vault/entries')
    await call('GET', `/api/v2/vault/entries/${entry.id}/versions`)
    await call('GET', '/health')
    await call('GET', '/api/v2/integrations', undefined, { 'x-api-key': `qs_live_${CANARY}` })

    const client = new pg.Client({ connectionString: api.databaseUrl })
    await client.connect()
    const dump = async (table: string) =>
      (await client.query<{ text: string }>(`select t::text as text from ${table} t`)).rows.map(({ text }) => text)
    const { rows: tables } = await client.query<{ name: string }>(
      `select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`,
    )
    const rows: string[] = []
    for (const { name } of tables) rows.push(...(await dump(name)))
    await client.query(`create temporary table control as select $1::text as plain, $2::bytea as bytes`, ['x', CANARY])
    const control = await dump('control')
    const { rows: audit } = await client.query<{ text: string }>(
      `select convert_from(row_bytes, 'UTF8') as text from audit_rows`,
    )
    await client.end()
    const files = await readdir(api.dataDir)
    const written = await Promise.all(
      files
        .filter((name) => !name.startsWith('postgres'))
        .map((name) => readFile(path.join(api.dataDir, name), 'utf8').catch(() => '')),
    )

    assert.ok(tables.length >= 9 && audit.length > 5 && lines.length > 0, 'nothing was searched')
    assert.match(findSecret(control.join(), CANARY) ?? '', /^hexadecimal/, 'the search does not see into bytea')
    for (const by of [0, 1, 2]) {
      const wrapped = Buffer.from(`${'x'.repeat(by)}${CANARY}yyy`).toString('base64')
      assert.match(findSecret(wrapped, CANARY) ?? '', /^base64/)
    }
    const places = { answers: said, logs: lines, tables: rows, audit: audit.map(({ text }) => text), files: written }
    for (const [place, texts] of Object.entries(places)) {
      for (const text of texts) {
        assert.equal(findSecret(text, CANARY), undefined, place)
        if (place !== 'files')
          assert.equal(findSecret(text, api.ownerKey.slice(40)), undefined, `${place}: the API key`)
      }
    }
    const unsealed = await call('POST', `/api/v2/vault/unseal/${entry.id}`)
    assert.equal(unsealed.data.values.password, CANARY, 'the twin: unseal gives it')
  } finally {
    await second.close()
    await plant.close()
  }
})
