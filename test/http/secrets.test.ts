import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { startServer } from '#src/app.ts'
import { createLog } from '#src/observability/log.ts'
import { dumpTables, findSecret } from '#test/support/find-secret.ts'
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

    const { tables, rows, audit, control } = await dumpTables(api.databaseUrl, CANARY)
    const files = await readdir(api.dataDir)
    const written = await Promise.all(
      files
        .filter((name) => !name.startsWith('postgres'))
        .map((name) => readFile(path.join(api.dataDir, name), 'utf8').catch(() => '')),
    )

    assert.ok(tables >= 9 && audit.length > 5 && lines.length > 0, 'nothing was searched')
    assert.match(findSecret(control, CANARY) ?? '', /^hexadecimal/, 'the search does not see into bytea')
    for (const by of [0, 1, 2]) {
      const wrapped = Buffer.from(`${'x'.repeat(by)}${CANARY}yyy`).toString('base64')
      assert.match(findSecret(wrapped, CANARY) ?? '', /^base64/)
    }
    const places = { answers: said, logs: lines, tables: rows, audit, files: written }
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
