import assert from 'node:assert/strict'
import { operations } from '#src/http/operations.ts'
import { type ApiServer, startApiServer, succeed } from './api-server.ts'
import { type Mosquitto, type MosquittoOptions, startMosquitto } from './mosquitto.ts'

export const PASSWORD = 'correct horse battery staple'

/** A server, a real broker, a sealed credential and an integration that may do both on `sensors/#`. */
export interface Plant {
  api: ApiServer
  broker: Mosquitto
  credentialId: string
  integrationId: string
  /** Makes another integration; its members replace the usual ones. */
  integrate(members?: Record<string, unknown>): Promise<{ id: string; revision: number }>
  sealCredential(values?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

export async function startPlant({
  env = {},
  mosquitto = {},
}: {
  env?: Record<string, string>
  mosquitto?: MosquittoOptions
} = {}): Promise<Plant> {
  await using stack = new AsyncDisposableStack() // what was started ends when a later step fails
  const broker = stack.adopt(await startMosquitto({ users: { sealwire: PASSWORD }, ...mosquitto }), (one) => one.stop())
  const api = stack.adopt(await startApiServer(env), (one) => one.close())

  async function sealCredential(values: Record<string, unknown> = {}): Promise<string> {
    const credential = {
      hostname: '127.0.0.1',
      port: broker.ports.tcp,
      username: 'sealwire',
      password: PASSWORD,
      ...values,
    }
    const { id } = await succeed(
      api.call('POST', '/api/v2/vault/seal', {
        body: { name: 'broker', credential_type: 'custom_kv', values: credential },
      }),
      201,
    )
    return id as string
  }

  const credentialId = await sealCredential()

  async function integrate(members: Record<string, unknown> = {}): Promise<{ id: string; revision: number }> {
    const body = {
      name: 'plant',
      system_type: 'mqtt',
      credential_id: credentialId,
      allowed_operations: ['publish', 'subscribe'],
      config: { topic: 'sensors/temperature', topics: ['sensors/#'], qos: 1 },
      ...members,
    }
    return succeed(api.call('POST', '/api/v2/integrations', { body }), 201)
  }

  const { id: integrationId } = await integrate()
  stack.move() // from here on it is the caller's to close
  return {
    api,
    broker,
    credentialId,
    integrationId,
    integrate,
    sealCredential,
    async close() {
      const ended = await Promise.allSettled([api.close(), broker.stop()])
      for (const one of ended) if (one.status === 'rejected') throw one.reason
    },
  }
}

/**
 * Opens an enveloped answer the way a caller without a recipient does: at the decrypt route. A success must be what its
 * operation says.
 */
// biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
export async function openAnswer(api: ApiServer, envelope: unknown, key?: string): Promise<any> {
  const opened = await succeed(
    api.call('POST', '/api/v2/encryption/decrypt', { body: { envelope }, ...(key === undefined ? {} : { key }) }),
  )
  const { plaintext, header } = opened
  const operation = operations.find(({ id }) => id === header.op)
  assert.ok(operation?.enveloped, `${header.op} is no enveloped operation`)
  if (plaintext.success) {
    const { error } = operation.data.safeParse(plaintext.data)
    assert.equal(error, undefined, `${header.op}: ${JSON.stringify(error?.issues)}`)
    assert.equal(plaintext.error, null)
  }
  return plaintext
}
