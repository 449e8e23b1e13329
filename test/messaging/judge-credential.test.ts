import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { createJudgeCredential } from '#src/messaging/judge-credential.ts'
import { createIsDialable } from '#src/outbound/resolve-host.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration } from './harness.ts'

type Open = () => Promise<Record<string, unknown>>

function createJudge({ open, type = 'custom_kv' }: { open: Open; type?: string }) {
  let opened = 0
  const integration = createIntegration()
  const current = { version: 1, credentialType: type, custody: 0, expiresAt: null } as const
  const judge = createJudgeCredential({
    vault: {
      current: () => Promise.resolve(current),
      peek: () => {
        opened++
        return open()
      },
    },
    find: (_tenantId, id) =>
      id === integration.id ? Promise.resolve(integration) : Promise.reject(new AppError('object.not_found', 'gone')),
    usersOf: () => Promise.resolve(['int_gone', integration.id]),
    isDialable: createIsDialable({ allow: [], ownListeners: () => [] }),
    clock: systemClock,
  })
  return { judge, integration, opened: () => opened }
}

const giving = (values: Record<string, unknown>) => () => Promise.resolve(values)

test('what opens is judged: literal addresses, localhost, ports, spelling; a name passes', async () => {
  const cases: readonly [values: Record<string, unknown>, code: string | undefined][] = [
    [{ hostname: 'broker.example', port: 1883 }, undefined],
    [{ hostname: '93.184.215.14', port: '8883' }, undefined],
    [{ hostname: '10.0.0.1', port: 1883 }, 'destination.not_allowed'],
    [{ hostname: 'localhost', port: 1883 }, 'destination.not_allowed'],
    [{ hostname: 'broker.example', port: 22 }, 'destination.not_allowed'],
    [{ hostname: 'mqtt://broker.example', port: 1883 }, 'request.invalid'],
    [{ hostname: 'broker.example' }, 'request.invalid'],
    [{ hostname: 'broker.example', port: 8883, ca_cert: 'no PEM' }, 'integration.invalid'],
    [{ hostname: 'broker.example', port: 443, client_cert: 'x' }, undefined],
  ]
  for (const [values, code] of cases) {
    const { judge, integration } = createJudge({ open: giving(values) })
    if ('client_cert' in values) {
      await judge.ofIntegration(integration) // without its key it can speak TLS only, as far as anybody knows
      continue
    }
    const of = [() => judge.ofIntegration(integration), () => judge.ofEntry('ten_1', 'x', values)]
    for (const judged of of) {
      if (code === undefined) await judged()
      else await assert.rejects(judged, { code }, JSON.stringify(values))
    }
    const refusal = await judge.ofEntry('ten_1', 'x', values).catch((err: AppError) => err)
    if (code !== undefined) assert.equal(refusal?.details?.['integration'], integration.id)
  }
})

test('what cannot be opened now is left to the dialler, and an error of ours is none of those', async () => {
  for (const code of ['kms.unavailable', 'custody.required', 'credential.expired', 'vault.unavailable'] as const) {
    const { judge, integration, opened } = createJudge({ open: () => Promise.reject(new AppError(code, 'x')) })
    await judge.ofIntegration(integration)
    assert.equal(opened(), 1)
  }
  const { judge, integration } = createJudge({ open: () => Promise.reject(new TypeError('x')) })
  await assert.rejects(judge.ofIntegration(integration), TypeError)
})

test('a credential of another type is not opened', async () => {
  const { judge, integration, opened } = createJudge({ open: giving({ hostname: '10.0.0.1' }), type: 'api_key' })
  await judge.ofIntegration(integration)
  assert.equal(opened(), 0)
})

test('a vault that does not answer holds nobody up for long', async () => {
  const { judge, integration } = createJudge({ open: () => new Promise(() => {}) })
  const started = performance.now()
  await judge.ofIntegration(integration)
  assert.ok(performance.now() - started < patience(4_000))
})
