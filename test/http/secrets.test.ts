import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import pg from 'pg'
import { startServer } from '#src/app.ts'
import { createLog } from '#src/observability/log.ts'
import { startPlant } from '#test/support/plant.ts'

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

    const rows: string[] = []
    const client = new pg.Client({ connectionString: api.databaseUrl })
    await client.connect()
    const { rows: tables } = await client.query<{ name: string }>(
      `select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`,
    )
    for (const { name } of tables)
      rows.push(
        JSON.stringify(
          (await client.query(`select t::text, encode(convert_to(t::text, 'UTF8'), 'escape') from ${name} t`)).rows,
        ),
      )
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
    const places = { answers: said, logs: lines, tables: rows, audit: audit.map(({ text }) => text), files: written }
    for (const [place, texts] of Object.entries(places)) {
      for (const text of texts) {
        assert.ok(
          !text.includes(CANARY),
          `${place}: ${text.slice(Math.max(0, text.indexOf(CANARY) - 200), text.indexOf(CANARY) + 60)}`,
        )
        assert.ok(!text.includes(Buffer.from(CANARY).toString('base64').slice(0, 16)), `${place} holds it in base64`)
        if (place !== 'files') assert.ok(!text.includes(api.ownerKey.slice(40)), `${place} holds the API key`)
      }
    }
    const unsealed = await call('POST', `/api/v2/vault/unseal/${entry.id}`)
    assert.equal(unsealed.data.values.password, CANARY, 'the twin: unseal gives it')
  } finally {
    await second.close()
    await plant.close()
  }
})
