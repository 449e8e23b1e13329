import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Operator } from '#src/cli/operator.ts'
import { Secret } from '#src/core/secret.ts'
import * as usersFile from '#src/identity/users-file/edit-users-file.ts'
import { runCli } from '#test/support/cli.ts'
import { bareRefusal, bareSuccess, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key' }
const KEY = {
  id: 'key_01kat4hvr07rf9mm9f7nrvz4gg',
  name: 'line 4',
  role: 'editor',
  scopes: ['proxy:publish'],
  is_active: true,
  created_at: '2026-11-21T09:00:00.000Z',
}

describe('api-keys', () => {
  test('create prints the key alone to stdout, so that a shell can take it', async () => {
    stub.answerWith(() => bareSuccess({ key: KEY, secret: 'qs_test_new' }, 201))
    const args = ['api-keys', 'create', 'line 4', '--scope', 'proxy:publish', '--expires-at', '2027-01-31T00:00:00Z']
    assert.deepEqual(await runCli(args, { env }), {
      code: 0,
      out: 'qs_test_new',
      err: `${KEY.id} is made. The key is shown this once.`,
    })
    assert.deepEqual(JSON.parse(Buffer.from(stub.seen[0]?.body ?? []).toString()), {
      name: 'line 4',
      scopes: ['proxy:publish'],
      expires_at: '2027-01-31T00:00:00Z',
    })
  })

  test('list prints a line for each key, without control characters', async () => {
    stub.answerWith(() => bareSuccess([KEY, { ...KEY, role: 'owner', is_active: false, name: 'a\u001b[31mb' }]))
    const { code, out } = await runCli(['api-keys', 'list'], { env })
    const [first, second, ...rest] = out.split('\n')
    assert.deepEqual([code, rest.length], [0, 0])
    assert.equal(first, `${KEY.id}  editor  active   ${KEY.created_at}  line 4`)
    assert.match(second ?? '', /owner {3}revoked {2}.* {2}a\\u\{1b\}\[31mb$/)
  })

  test('revoke names what it revoked', async () => {
    stub.answerWith(() => bareSuccess({ ...KEY, is_active: false }))
    assert.deepEqual(await runCli(['api-keys', 'revoke', KEY.id], { env }), {
      code: 0,
      out: `revoked ${KEY.id}`,
      err: '',
    })
    assert.deepEqual([stub.seen[0]?.method, stub.seen[0]?.url], ['DELETE', `/api/v2/security/api-keys/${KEY.id}`])
  })

  test('--json prints JSON for each of them', async () => {
    stub.answerWith(() => bareSuccess({ key: KEY, secret: 'qs_test_new' }, 201))
    assert.deepEqual(JSON.parse((await runCli(['api-keys', 'create', 'line 4', '--json'], { env })).out), {
      id: KEY.id,
      role: KEY.role,
      scopes: KEY.scopes,
      secret: 'qs_test_new',
    })
    stub.answerWith(() => bareSuccess([KEY]))
    const listed = JSON.parse((await runCli(['api-keys', 'list', '--json'], { env })).out) as { id: string }[]
    assert.equal(listed[0]?.id, KEY.id)
    const revoked = await runCli(['api-keys', 'revoke', KEY.id, '--json'], { env })
    assert.deepEqual(JSON.parse(revoked.out), { id: KEY.id, revoked: true })
  })

  const failures = [
    { status: 401, code: 'auth.unauthenticated', exit: 1, err: /hint: check SEALWIRE_API_KEY/ },
    { status: 403, code: 'auth.forbidden', exit: 1, err: /hint: use a key with that scope/ },
    { status: 500, code: 'internal', exit: 3, err: /request: req_bare/ },
  ]
  for (const { status, code, exit, err } of failures) {
    test(`${code} exits ${exit}`, async () => {
      stub.answerWith(() => bareRefusal(status, code))
      const transcript = await runCli(['api-keys', 'revoke', KEY.id], { env })
      assert.deepEqual([transcript.code, transcript.out], [exit, ''])
      assert.match(transcript.err, err)
    })
  }

  test('a server that is not there exits 4 with a hint', async () => {
    const gone = await startSealedStub()
    await gone.close()
    const { code, err } = await runCli(['api-keys', 'list', '--base-url', gone.url], { env })
    assert.equal(code, 4)
    assert.match(err, /error: network: .*ECONNREFUSED[\s\S]*hint: is the server running/)
  })

  test('a role that does not exist is misuse', async () => {
    assert.equal((await runCli(['api-keys', 'create', 'x', '--role', 'king'], { env })).code, 2)
  })
})

describe('commands of the operator', () => {
  const asked: unknown[] = []
  const operator: Operator = {
    usersFile,
    serve: async (given) => (given['PORT'] === '8080' ? 0 : 1),
    initialise: async (config) =>
      config.DATA_DIR === '/empty' ? { tenantId: 'ten_1', ownerKeyFile: '/empty/owner-api-key' } : undefined,
    createTenant: async (_config, input, { log }) => {
      asked.push(input)
      log.info({}, 'not for the screen')
      log.warn({}, 'the local key file is not a KMS')
      return { tenantId: 'ten_2', ownerKey: new Secret('qs_test_owner') }
    },
    eachTenant: async (_config, _parts, show) => {
      const createdAt = new Date('2026-11-28T09:00:00Z')
      const plain = { sandbox: false, createdAt, envelopeVersions: [2], rateLimit: null, kmsKeyId: null, apiKeys: 2 }
      show({ id: 'ten_1', name: 'plant\u001b[31m 4', ...plain })
      show({ ...plain, id: 'ten_2', name: 'trial', sandbox: true, kmsKeyId: 'arn:aws:kms:…', apiKeys: 0 })
    },
    setTenant: async (_config, tenantId, changes) => {
      asked.push([tenantId, changes])
    },
    operateKeys: () => Promise.reject(new Error('no keys here')),
    rewrapWraps: () => Promise.reject(new Error('no keys here')),
    listKmsKeys: () => Promise.reject(new Error('no keys here')),
    removeKmsKey: () => Promise.reject(new Error('no keys here')),
    tryHook: () => Promise.reject(new Error('no hooks here')),
  }
  const load = async () => operator

  test('serve ends with the exit code of the server', async () => {
    assert.equal((await runCli(['serve'], { env: { PORT: '8080' }, operator: load })).code, 0)
    assert.equal((await runCli(['serve'], { env: { PORT: '1' }, operator: load })).code, 1)
  })

  test('init prints tenant and key file, and never the key', async () => {
    assert.deepEqual(await runCli(['init'], { env: { DATA_DIR: '/empty' }, operator: load }), {
      code: 0,
      out: 'ten_1 /empty/owner-api-key',
      err: 'hint: export SEALWIRE_API_KEY=$(cat /empty/owner-api-key)',
    })
    const json = await runCli(['init', '--json'], { env: { DATA_DIR: '/empty' }, operator: load })
    assert.deepEqual(JSON.parse(json.out), { tenant_id: 'ten_1', owner_key_file: '/empty/owner-api-key' })
  })

  test('init where there is a tenant does nothing and says so', async () => {
    assert.deepEqual(await runCli(['init'], { env: { DATA_DIR: '/full' }, operator: load }), {
      code: 0,
      out: '',
      err: 'nothing to do: there is a tenant already',
    })
  })

  test('tenants create prints the owner key alone to stdout, warnings to stderr', async () => {
    assert.deepEqual(await runCli(['tenants', 'create', 'plant 4', '--sandbox'], { operator: load }), {
      code: 0,
      out: 'qs_test_owner',
      err: 'the local key file is not a KMS\nten_2 is made. Its owner key is shown this once.',
    })
    const json = await runCli(['tenants', 'create', 'plant 4', '--json'], { operator: load })
    assert.deepEqual(JSON.parse(json.out), { tenant_id: 'ten_2', owner_key: 'qs_test_owner' })
    assert.deepEqual(asked, [
      { name: 'plant 4', sandbox: true },
      { name: 'plant 4', sandbox: false },
    ])
  })

  test('tenants list prints a line for each tenant, and nothing that a terminal would obey', async () => {
    const { code, out, err } = await runCli(['tenants', 'list'], { operator: load })
    assert.deepEqual([code, err], [0, ''])
    const [first = '', second] = out.split('\n')
    assert.match(first, /^ten_1 {2}2026-11-28T09:00:00.000Z {2}2 keys {4}plant[^\u001b]+ 4$/)
    assert.equal(second, 'ten_2  2026-11-28T09:00:00.000Z  0 keys    trial  sandbox  KMS key arn:aws:kms:…')
    const json = (await runCli(['tenants', 'list', '--json'], { operator: load })).out.split('\n')
    assert.deepEqual(
      json.map((line) => (JSON.parse(line) as { api_keys: number }).api_keys),
      [2, 0],
    )
  })

  test('tenants set says which envelope versions callers may ask for, and takes no other words', async () => {
    for (const [versions, said] of [
      ['1,2', '1 and 2'],
      ['2', '2'],
    ] as const) {
      asked.length = 0
      const { code, out, err } = await runCli(['tenants', 'set', 'ten_2', '--envelope-versions', versions], {
        operator: load,
      })
      assert.deepEqual([code, out, err], [0, '', `ten_2: envelope versions ${said}.`])
      assert.deepEqual(asked, [['ten_2', { envelopeVersions: versions.split(',').map(Number) }]])
    }
    asked.length = 0
    for (const wrong of ['1', '2,1', '3', '', '1,2,3'])
      assert.equal(
        (await runCli(['tenants', 'set', 'ten_2', '--envelope-versions', wrong], { operator: load })).code,
        2,
      )
    assert.equal((await runCli(['tenants', 'set', 'ten_2'], { operator: load })).code, 2)
    assert.deepEqual(asked, [])
  })

  test('tenants set gives a tenant a quota or takes it back, and takes no other words', async () => {
    for (const [text, rateLimit, said] of [
      ['5000', 5000, '5000 cost units a second'],
      ['default', null, 'the quota of the server'],
    ] as const) {
      asked.length = 0
      const { code, out, err } = await runCli(['tenants', 'set', 'ten_2', '--rate-limit', text], { operator: load })
      assert.deepEqual([code, out, err], [0, '', `ten_2: ${said}.`])
      assert.deepEqual(asked, [['ten_2', { rateLimit }]])
    }
    asked.length = 0
    for (const wrong of ['199', '1000001', '-1', '1e4', '', 'none'])
      assert.equal((await runCli(['tenants', 'set', 'ten_2', '--rate-limit', wrong], { operator: load })).code, 2)
    assert.deepEqual(asked, [])
  })

  test('a wrong configuration exits 1, names the variable, and not its value', async () => {
    const { code, out, err } = await runCli(['init'], { env: { PORT: 'hunter2' }, operator: load })
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /PORT/)
    assert.doesNotMatch(err, /hunter2/)
  })
})

describe('help', () => {
  const commands = [
    ['serve'],
    ['init'],
    ['tenants', 'create'],
    ['api-keys', 'create'],
    ['api-keys', 'list'],
    ['api-keys', 'revoke'],
    ['recipients', 'enroll'],
    ['publish'],
    ['subscribe'],
    ['envelope', 'open'],
  ]
  for (const command of commands) {
    test(`sealwire ${command.join(' ')} --help teaches with an example and exits 0`, async () => {
      const { code, out, err } = await runCli([...command, '--help'])
      assert.deepEqual([code, err], [0, ''])
      assert.match(out, new RegExp(`Examples?:\\n {2}\\$ .*sealwire ${command.join(' ')}`))
    })
  }

  test('without a command, or with an unknown one, it is misuse; --help is not', async () => {
    assert.equal((await runCli([])).code, 2)
    const unknown = await runCli(['publsh'])
    assert.equal(unknown.code, 2)
    assert.match(unknown.err, /Did you mean publish/)
    assert.equal((await runCli(['--help'])).code, 0)
  })
})

test('the program itself reads the environment, writes to the right streams and exits with the code', async () => {
  const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts')
  const start = (...args: string[]) =>
    promisify(execFile)(process.execPath, [main, ...args], { env: { ...process.env, ...env } })
  stub.answerWith(() => bareSuccess([KEY]))
  const { stdout, stderr } = await start('api-keys', 'list')
  assert.match(stdout, /^key_.*line 4\n$/)
  assert.equal(stderr, '')
  stub.answerWith(() => bareRefusal(403, 'auth.forbidden'))
  await assert.rejects(start('api-keys', 'list'), { code: 1, stdout: '' })
})
