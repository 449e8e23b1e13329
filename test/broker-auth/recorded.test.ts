// Requests of the five brokers, replayed byte for byte to the whole server; the answers are compared byte for byte.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { PolicyDocument } from '#src/policy/document.ts'
import { type HookConfig, type HookedDeployment, type HookUser, serveHooks } from '#test/support/hooked-deployment.ts'
import { exchange } from '#test/support/raw-exchange.ts'
import {
  emqx,
  goAuthForm,
  goAuthJson,
  goAuthJwt,
  type Recorded,
  rabbitmqGet,
  rabbitmqPost,
  rabbitmqTokens,
  tbmq,
  vernemq,
} from './recorded-requests.ts'

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'recorded',
  rules: [
    {
      id: 'ok',
      effect: 'allow',
      actions: ['publish', 'subscribe', 'receive'],
      topics: ['celine/ok/#'],
      when: { groups: ['users'] },
    },
    {
      id: 'page',
      effect: 'allow',
      actions: ['publish', 'subscribe'],
      topics: ['a/b'],
      when: { username: 'username' },
    },
  ],
}
const users: readonly HookUser[] = [
  { username: 'alice', password: 'good', groups: ['users'] },
  { username: 'al ice', password: 'g+d', groups: ['users'] },
  { username: 'username', password: 'password' },
]

const key = 'a key of thirty-two bytes or more.'
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token of a day for somebody of the group. */
function tokenOf(sub: string): string {
  const now = Math.floor(Date.now() / 1000)
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, aud: 'mqtt', iat: now, exp: now + 86_400, groups: ['users'] })}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

function configure({ version, providers, hooks: [section] }: HookConfig): unknown {
  const { secret: _, ...open } = section
  const near = { ...open, addresses: ['127.0.0.1/32'], providers: ['tokens', 'devices'] }
  const file = path.join(path.dirname(String(providers['devices']?.['path'])), 'token-key')
  return {
    version,
    client_ids: { pattern: '^[\\w .:-]+$' }, // the form was recorded with a space in the id
    providers: { ...providers, tokens: { type: 'jwt', audience: 'mqtt', secret: { file } } },
    hooks: [
      near,
      { ...near, name: 'emqx', dialect: 'emqx' },
      { ...near, name: 'rmq', dialect: 'rabbitmq' },
      { ...near, name: 'tbmq', dialect: 'tbmq' },
      { ...near, name: 'vmq', dialect: 'vernemq' },
    ],
  }
}

describe('recorded requests', () => {
  let deployment: HookedDeployment
  before(async () => {
    deployment = await serveHooks({
      document,
      users,
      configure,
      prepare: (dir) => writeFile(path.join(dir, 'token-key'), key),
    })
  })
  after(() => deployment?.close()) // absent where it did not start

  function replay(what: string, list: () => readonly Recorded[]): void {
    test(what, async (t) => {
      const requests = list()
      assert.ok(requests.length > 0)
      for (const { name, request, status, headers, body } of requests) {
        await t.test(name, async () => {
          const answer = await exchange(deployment.port, request)
          assert.equal(answer.body, body)
          assert.match(answer.statusLine, new RegExp(`^HTTP/1\\.1 ${status} `))
          assert.deepEqual(answer.headers, headers)
        })
      }
    })
  }

  const token = tokenOf('mia')
  replay('mosquitto-go-auth, JSON', () => goAuthJson)
  replay('mosquitto-go-auth, form', () => goAuthForm)
  replay('mosquitto-go-auth, remote JWT', () => goAuthJwt(token))
  replay('RabbitMQ 3.10.8, POST', () => rabbitmqPost)
  replay('RabbitMQ 3.10.8, GET', () => rabbitmqGet)
  replay('RabbitMQ 3.10.8, tokens', () => rabbitmqTokens(token))
  replay('EMQX 5', () => emqx)
  replay('TBMQ', () => tbmq)
  replay('VerneMQ', () => vernemq)
})
