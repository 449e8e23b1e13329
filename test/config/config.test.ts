import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configNames, parseConfig } from '#src/config/config.ts'

/** A value that each variable refuses, beside one that differs little and is taken. */
const cases: Readonly<Record<string, readonly [bad: string, good: string]>> = {
  PORT: ['65536', '65535'],
  DATABASE_URL: ['mysql://u:canary@db/x', 'postgres://u:canary@db/x'],
  KMS_PROVIDER: ['AWS', 'local'],
  KMS_ENDPOINT: ['kms.canary', 'https://kms.canary'],
  OUTBOUND_ALLOW: ['10.0.0.0/8,canary', '10.0.0.0/8, fd00::/8'],
  CRYPTO_PROVIDER: ['canary', 'noble'],
  SIGNER_QUEUE_MAX: ['0', '1'],
  SIGNER_BATCH_MAX: ['1025', '1'],
  METRICS_TOKEN: ['canary-short', 'canary-long-enough'],
  POOL_MAX_CONNECTIONS: ['1.5', '1'],
  POOL_IDLE_MS: ['999', '1000'],
  STOP_NOTICE_MS: ['5001', '5000'],
  BROKER_CONNECT_TIMEOUT_MS: ['30001', '30000'],
  REQUEST_DEADLINE_MS: ['9', '10'],
  RATE_LIMIT_KEY: ['199', '200'],
  RATE_LIMIT_TENANT: ['1000001', '1000000'],
  RATE_LIMIT_STORE: ['redis', 'postgres'],
  LOG_LEVEL: ['canary', 'trace'],
  LOG_FORMAT: ['xml', 'pretty'],
  TRUST_PROXY: ['canary.example', '10.1.2.3,fd00::/8'],
  CORS_ORIGINS: ['canary', 'https://canary.example'],
}
/** These take every text. */
const free = ['HOST', 'TLS_CERT_FILE', 'TLS_KEY_FILE', 'DATA_DIR', 'AWS_REGION', 'KMS_KEY_ID', 'BROKER_AUTH_CONFIG']

function refusalOf(env: Record<string, string>): string {
  try {
    parseConfig(env)
  } catch (err) {
    return (err as Error).message
  }
  return assert.fail('it was accepted')
}

test('every variable has a case here', () => {
  assert.deepEqual([...Object.keys(cases), ...free].sort(), [...configNames].sort())
})

for (const [name, [bad, good]] of Object.entries(cases)) {
  test(`${name}: a bad value is named and not shown, a good one is taken`, () => {
    const message = refusalOf({ [name]: bad })
    assert.match(message, new RegExp(`^ {2}${name}: `, 'm'))
    assert.doesNotMatch(message, /canary/)
    assert.equal(message.split('\n').length, 2, message)
    parseConfig({ [name]: good })
  })
}

test('all bad variables are named at once', () => {
  const env = Object.fromEntries(Object.entries(cases).map(([name, [bad]]) => [name, bad]))
  const message = refusalOf(env)
  const named = message.split('\n').map((line) => /^ {2}(\w+): /.exec(line)?.[1])
  for (const name of Object.keys(cases)) assert.ok(named.includes(name), name)
  assert.doesNotMatch(message, /canary/)
})

test('variables that mean nothing here are ignored, empty ones count as absent', () => {
  const empty = Object.fromEntries(configNames.map((name) => [name, '']))
  assert.ok(Object.keys(empty).length > 10)
  assert.deepEqual(parseConfig({ ...empty, PATH: '/bin', PROT: '1' }), parseConfig({}))
  assert.equal(parseConfig({ PORT: '' }).PORT, 8080)
})

const together = [
  { env: { KMS_PROVIDER: 'aws', KMS_KEY_ID: 'k' }, names: /AWS_REGION/, missing: { AWS_REGION: 'eu-central-1' } },
  { env: { KMS_PROVIDER: 'aws', AWS_REGION: 'r' }, names: /KMS_KEY_ID/, missing: { KMS_KEY_ID: 'k' } },
  { env: { TLS_CERT_FILE: 'c' }, names: /TLS_KEY_FILE/, missing: { TLS_KEY_FILE: 'k' } },
  { env: { TLS_KEY_FILE: 'k' }, names: /TLS_KEY_FILE/, missing: { TLS_CERT_FILE: 'c' } },
]
for (const { env, names, missing } of together) {
  test(`${JSON.stringify(env)} needs ${JSON.stringify(missing)}`, () => {
    assert.match(refusalOf(env), names)
    parseConfig({ ...env, ...missing })
  })
}

test('the database URL is a secret', () => {
  const config = parseConfig({ DATABASE_URL: 'postgres://u:canary@db/x' })
  assert.doesNotMatch(JSON.stringify(config), /canary/)
  assert.equal(config.DATABASE_URL?.reveal(), 'postgres://u:canary@db/x')
})
