import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import express from 'express'
import { systemClock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { createOperationHandler } from '#src/http/handle-operation.ts'
import { createInFlight } from '#src/http/in-flight.ts'
import { createAddressLimit } from '#src/http/limits/address-limit.ts'
import { createAdmission } from '#src/http/limits/admission.ts'
import { createLimits } from '#src/http/limits/limits.ts'
import { createMemoryLimiter, createQuotas } from '#src/http/limits/quotas.ts'
import { createRefusedKeys } from '#src/http/limits/refused-keys.ts'
import { encryptionDecrypt } from '#src/http/routes/encryption-decrypt.ts'
import type { Services } from '#src/http/services.ts'
import { unauthenticated } from '#src/tenants/acting-key.ts'

const FAILURES = 30

/** The decrypt route behind real limits, for callers whose keys are never right. `uses` counts every touch of the provider. */
async function decryptRoute() {
  let uses = 0
  const provider = new Proxy(opensslProvider, {
    get(target, name) {
      uses++
      return Reflect.get(target, name) as unknown
    },
  })
  const admission = createAdmission({ most: 100, pressure: () => 'none' })
  const counted: string[] = []
  let asked = 0
  const services = {
    clock: systemClock,
    provider,
    log: silentLog,
    reached() {},
    requestDeadlineMs: 10_000,
    async authenticate() {
      asked++
      throw unauthenticated()
    },
    countRefusal: (address: string) => counted.push(address),
    limits: createLimits({
      quotas: createQuotas({ key: 1000, tenant: 1000 }, createMemoryLimiter),
      admission,
      addresses: createAddressLimit({ monotonic: systemClock.monotonic, failures: FAILURES }),
      refusedKeys: createRefusedKeys(systemClock),
      countLimited: () => assert.fail('nobody is known here'),
    }),
  } as unknown as Services
  const handler = createOperationHandler(encryptionDecrypt, services, createInFlight())
  uses = 0 // what making the handler took
  const server = express().post(encryptionDecrypt.path, handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${encryptionDecrypt.path}`
  return { server, url, counted, admission, uses: () => uses, asked: () => asked }
}

test('envelopes of strangers are refused before anything is decapsulated, and after so many of them before a key is looked up', async () => {
  const route = await decryptRoute()
  try {
    const envelope = { version: 2, kem_ciphertext: randomBytes(1088).toString('base64url') }
    const body = JSON.stringify({ envelope, padding: 'x'.repeat(64 * 1024) })
    const headers = { 'content-type': 'application/json', 'x-api-key': `qs_live_${'0'.repeat(76)}` }
    const statuses: number[] = []
    const waits = new Set<string | null>()
    for (let i = 0; i < 3 * FAILURES; i++) {
      const res = await fetch(route.url, { method: 'POST', headers, body })
      const { error } = (await res.json()) as { error: { code: string; message: string } }
      statuses.push(res.status)
      assert.ok(!/\d/.test(error.message), 'one text for all')
      if (res.status === 429) waits.add(res.headers.get('retry-after'))
    }
    assert.equal(route.uses(), 0, 'the crypto provider was touched')
    assert.ok(statuses.slice(0, FAILURES).every((status) => status === 401))
    const refused = statuses.filter((status) => status === 429).length
    assert.ok(refused >= 2 * FAILURES - 2, `${refused} refused by address`)
    assert.equal(route.asked(), 3 * FAILURES - refused)
    for (const wait of waits) assert.match(wait ?? '', /^[1-9]\d?$/)
    assert.equal(route.counted.length, 3 * FAILURES, 'each is in the summary')
    assert.equal(route.admission.taken, 0)
  } finally {
    route.server.close()
  }
})
