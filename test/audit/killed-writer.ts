import { writeSync } from 'node:fs'
import { Secret } from '#src/core/secret.ts'
import { type ConnectionOptions, createDb } from '#src/db/pool.ts'
import { auditOn, creationOf, intentOf, outcomeOf } from './parts.ts'

/** Records two rows a message for ever, and says on stdout which messages are done, until it is killed. */
const [connection = '{}', tenantId = ''] = process.argv.slice(2)
const { url, ...members } = JSON.parse(connection) as Omit<ConnectionOptions, 'connectionString'> & { url?: string }
const audit = auditOn(createDb({ ...members, ...(url !== undefined && { connectionString: new Secret(url) }) }))

async function worker(name: number): Promise<never> {
  for (let i = 0; ; i++) {
    const messageId = `msg_${name}_${i}`
    await audit.record(intentOf(tenantId, messageId))
    await audit.record(outcomeOf(tenantId, messageId))
    writeSync(1, `${messageId}\n`)
  }
}

await audit.record(creationOf(tenantId))
await Promise.all(Array.from({ length: 8 }, (_, name) => worker(name)))
