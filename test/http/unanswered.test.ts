import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import express from 'express'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { createOperationHandler } from '#src/http/handle-operation.ts'
import { createInFlight } from '#src/http/in-flight.ts'
import { proxyOutbound } from '#src/http/routes/proxy-outbound.ts'
import type { Services } from '#src/http/services.ts'
import { createSigner } from '#src/signing/signer.ts'
import { scopesOf } from '#src/tenants/principal.ts'
import { makeParties } from '#test/envelope/parties.ts'
import { sealHere } from '#test/signing/seal-here.ts'

const { issuer, recipient } = makeParties(provider)
const away = () => new AppError('database.unavailable', 'The database does not answer.', { retryAfterS: 1 })
const principal = {
  tenantId: newId('ten'),
  keyId: newId('key'),
  role: 'owner',
  sandbox: false,
  scopes: scopesOf('owner'),
}
const known = { ...recipient.sealing, custody: 'client' }
const result = {
  outcome: 'acknowledged',
  message_id: newId('msg'),
  integration_id: newId('int'),
  topic: 'a',
  qos: 1,
  retain: false,
  reason_code: 0,
  sent_at: '2026-11-21T09:00:00.000Z',
  acknowledged_at: '2026-11-21T09:00:00.001Z',
}

const unlimited = {
  judgeAddress() {},
  failed() {},
  succeeded() {},
  admit: async () => ({ headers: {}, refusal: undefined, charge: async () => undefined, bodyIs() {}, leave() {} }),
}

/** One publish whose message the broker has acknowledged, with parts that fail from then on. */
async function publishWith(more: object): Promise<{ status: number; code?: string; details?: unknown }> {
  const services = {
    clock: systemClock,
    requestDeadlineMs: 10_000, // without it a request is overdue at once
    provider,
    log: { error() {}, warn() {}, info() {}, debug() {} },
    authenticate: async () => principal,
    countRefusal() {},
    limits: unlimited,
    reached() {},
    audit: { record: async () => undefined },
    recipients: { sealingFor: async () => known, sealingAtEnd: async () => known, clientHeldFor: async () => known },
    integrations: { find: async () => ({ id: result.integration_id }) },
    signer: createSigner({ sealBatch: sealHere(provider), issuer: () => issuer, maxQueue: 8, clock: systemClock }),
    publish: async () => ({ result, recorded: Promise.resolve() }),
    ...more,
  } as unknown as Services
  const app = express().post(proxyOutbound.path, createOperationHandler(proxyOutbound, services, createInFlight()))
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const res = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${proxyOutbound.path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ integration_id: result.integration_id, operation: 'publish', payload: { message: 'x' } }),
    })
    const { error } = (await res.json()) as { error: { code: string; details: unknown } | null }
    return { status: res.status, ...(error && { code: error.code, details: error.details }) }
  } finally {
    server.close()
  }
}

/** The database goes away once the message is out. */
const gone = {
  sealingFor: async () => known,
  sealingAtEnd: () => Promise.reject(away()),
  clientHeldFor: async () => known,
}

test('a publish whose answer can be made is answered', async () => {
  assert.deepEqual(await publishWith({}), { status: 200 })
})

test('a message that was sent is never answered as not sent, whatever fails while it is being said', async () => {
  const { message_id: id } = result
  const details = { message_id: id, ask: `/api/v2/proxy/messages/${id}` }
  const unknown = { status: 504, code: 'outcome.unknown', details }
  assert.deepEqual(await publishWith({ recipients: gone }), unknown)
  const recorded = Promise.reject(new AppError('outcome.unknown', 'The message may have been delivered.'))
  recorded.catch(() => undefined)
  assert.deepEqual(await publishWith({ publish: async () => ({ result, recorded }) }), unknown)
  assert.deepEqual(await publishWith({ recipients: gone, publish: async () => ({ result, recorded }) }), unknown)
  const broken = { reserve: () => ({ seal: () => Promise.reject(new Error('broken')), release() {} }) }
  assert.deepEqual(await publishWith({ signer: broken }), unknown)
})

test('an answer that cannot be written gives the place of its signature back', async () => {
  const signer = createSigner({ sealBatch: sealHere(provider), issuer: () => issuer, maxQueue: 8, clock: systemClock })
  const publish = async () => ({ result: { ...result, reason_code: 0n }, recorded: Promise.resolve() })
  await publishWith({ signer, publish })
  assert.equal(signer.pending, 0)
})
