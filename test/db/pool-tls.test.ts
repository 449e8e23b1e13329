import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { TLSSocketOptions } from 'node:tls'
import { Secret } from '#src/core/secret.ts'
import { createDb } from '#src/db/pool.ts'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { type FaultyProxy, startProxy } from './proxy.ts'

let database: TestDatabase
let certificates: Certificates
before(async () => {
  certificates = await createCertificates()
  database = await testDatabase()
})
after(async () => {
  await database.drop()
  await certificates.remove()
})

type Server = 'good' | 'expired' | 'wrong name' | 'without TLS'

function serverSide(server: Server): TLSSocketOptions | 'refuse' {
  if (server === 'without TLS') return 'refuse'
  const { certificate, key } = {
    good: certificates.server,
    expired: certificates.expired,
    'wrong name': certificates.wrongName,
  }[server]
  return { cert: certificate, key }
}

/** The URL of the database, as an operator would write it, through the proxy. */
function urlOf(proxy: FaultyProxy, query: string): Secret<string> {
  const { connectionString, user = '', database: name } = proxy.connection
  const url = new URL(connectionString?.reveal() ?? `postgres://${user}@127.0.0.1:${proxy.port}/${name}`)
  return new Secret(`${url.href}?${query}`)
}

const cases: { mode: string; ca: 'ours' | 'another' | 'none'; server: Server; connects: boolean }[] = [
  { mode: 'verify-full', ca: 'ours', server: 'good', connects: true },
  { mode: 'verify-full', ca: 'another', server: 'good', connects: false },
  { mode: 'verify-full', ca: 'none', server: 'good', connects: false },
  { mode: 'verify-full', ca: 'ours', server: 'expired', connects: false },
  { mode: 'verify-full', ca: 'ours', server: 'wrong name', connects: false },
  { mode: 'verify-full', ca: 'ours', server: 'without TLS', connects: false },
  { mode: 'require', ca: 'ours', server: 'good', connects: true },
  { mode: 'require', ca: 'another', server: 'good', connects: false },
  { mode: 'require', ca: 'ours', server: 'without TLS', connects: false },
  { mode: 'no-verify', ca: 'none', server: 'good', connects: true },
  { mode: 'no-verify', ca: 'none', server: 'without TLS', connects: false },
]
for (const { mode, ca, server, connects } of cases) {
  const title = `sslmode=${mode}, CA ${ca}, server ${server}`
  test(`DATABASE_URL: ${title} ${connects ? 'connects over TLS' : 'is refused before anything is said'}`, async () => {
    const proxy = await startProxy(database.connection, serverSide(server))
    const file = { ours: certificates.caFile, another: certificates.otherCaFile, none: '' }[ca]
    const query = `sslmode=${mode}${file && `&sslrootcert=${encodeURIComponent(file)}`}`
    const db = createDb({ connectionString: urlOf(proxy, query), max: 1 })
    try {
      if (connects) {
        await db.ping()
        assert.equal(proxy.heard.length, 1)
      } else {
        await assert.rejects(db.ping(), { code: 'database.unavailable' })
        assert.deepEqual(proxy.heard, [])
      }
    } finally {
      await db.close()
      await proxy.close()
    }
  })
}
