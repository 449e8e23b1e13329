import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { newId } from '#src/core/ids.ts'
import { testDatabase } from '#test/support/database.ts'
import { verify } from './parts.ts'

test('kill -9 right after rows were recorded: every one of them is there, and the chain is whole', async () => {
  const { db, connection, drop } = await testDatabase()
  try {
    const tenantId = newId('ten')
    const program = fileURLToPath(new URL('./killed-writer.ts', import.meta.url))
    const child = spawn(
      process.execPath,
      [
        ...process.execArgv.filter((arg) => arg !== '--test'),
        program,
        JSON.stringify({ ...connection, url: connection.connectionString?.reveal() }),
        tenantId,
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const exited = once(child, 'exit')
    let said = ''
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      said += chunk as string
      if (said.split('\n').length > 200 && !child.killed) child.kill('SIGKILL')
    }
    assert.deepEqual(await exited, [null, 'SIGKILL'])

    const done = said.split('\n').slice(0, -1)
    assert.ok(done.length >= 200)
    const { rows } = await db.query<{ message_id: string; count: string }>(
      'select message_id, count(*) from audit_rows where tenant_id = $1 group by message_id',
      [tenantId],
    )
    const written = new Map(rows.map((row) => [row.message_id, Number(row.count)]))
    for (const messageId of done) assert.equal(written.get(messageId), 2, messageId)
    assert.equal((await verify(db, tenantId)).ok, true)
  } finally {
    await drop()
  }
})
