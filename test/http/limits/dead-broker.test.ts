import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { startServer } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { Sealwire, SealwireError } from '#src/sdk/index.ts'
import { closedPort } from '#test/support/black-hole.ts'
import { testDatabase } from '#test/support/database.ts'

const REFUSED = 50

test('publishes that an open breaker refuses leave one row for the key and the minute, and no message is unaccounted for', async () => {
  await using stack = new AsyncDisposableStack()
  const home = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-dead-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const env = { DATABASE_URL: database.url, DATA_DIR: home, PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8' }
  const server = await startServer(parseConfig(env), { log: silentLog })
  const refusals: SealwireError[] = []
  try {
    const apiKey = (await readFile(path.join(home, 'owner-api-key'), 'utf8')).trim()
    const options = { baseUrl: server.url, apiKey, provider: opensslProvider, maxRetries: 0 }
    const recipient = await new Sealwire(options).recipients.enroll({ name: 'device' })
    const sdk = new Sealwire({ ...options, recipient })
    const values = { hostname: '127.0.0.1', port: await closedPort() }
    const { id: credentialId } = await sdk.vault.seal({ credentialType: 'custom_kv', values })
    const { id: integrationId } = await sdk.integrations.create({
      name: 'dead',
      systemType: 'mqtt',
      credentialId,
      allowedOperations: ['publish'],
      config: { topic: 'dead', qos: 1 },
    })
    const publish = async () => {
      const err: unknown = await sdk.proxy.publish({ integrationId, message: '1' }).catch((one: unknown) => one)
      assert.ok(err instanceof SealwireError)
      refusals.push(err)
    }
    for (let i = 0; i < 6; i++) await publish()
    await Promise.all(Array.from({ length: REFUSED }, publish))
  } finally {
    await server.close()
  }
  for (const { code, outcome, retryAfterS } of refusals) {
    assert.deepEqual([code, outcome], ['broker.unreachable', 'unavailable'])
    assert.ok((retryAfterS ?? 0) >= 1)
  }
  const sql = new pg.Client({ connectionString: database.url })
  await sql.connect()
  stack.defer(() => sql.end())
  const { rows } = await sql.query<{ text: string }>(
    `select convert_from(row_bytes, 'UTF8') as text from audit_rows order by seq`,
  )
  const events = rows.map(({ text }) => JSON.parse(text) as { action: string; detail: Record<string, unknown> })
  const of = (action: string) => events.filter((event) => event.action === action)
  const tried = of('proxy.publish.intent').length
  assert.equal(of('proxy.publish.outcome').length, tried)
  assert.ok(tried >= 5 && tried <= 6 + 5, `${tried} were tried`)
  const summaries = of('request.limited_summary')
  assert.ok(summaries.length >= 1 && summaries.length <= 2, 'a minute may have turned')
  for (const { detail } of summaries) assert.equal(detail['code'], 'broker.unreachable')
  const counted = summaries.reduce((sum, { detail }) => sum + Number(detail['count']), 0)
  assert.equal(tried + counted, refusals.length, 'each is on record, one way or the other')
})
