import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from '#src/audit/audit.ts'
import { createAuditedChange } from '#src/audit/audited-change.ts'
import { AppError } from '#src/core/errors.ts'
import type { Db } from '#src/db/db.ts'

const event: AuditEvent = { tenantId: 'ten_1', action: 'vault.seal', outcome: 'success', actor: { id: 'key_1' } }

const away = new AppError('database.unavailable', 'The database does not answer.')

/** A database that writes down the order of things; commit and records fail when told. */
function recorder({ commitError, auditFailsAt = [] }: { commitError?: Error; auditFailsAt?: number[] } = {}) {
  const steps: string[] = []
  let records = 0
  const db = {
    async transaction(work: (tx: never) => Promise<unknown>) {
      steps.push('begin')
      const result = await work(undefined as never)
      if (commitError) throw commitError
      steps.push('commit')
      return result
    },
  } as unknown as Db
  const audit = {
    async record(...events: readonly AuditEvent[]) {
      if (auditFailsAt.includes(++records)) throw new AppError('audit.unavailable', 'The audit log is not available.')
      steps.push(...events.map(({ outcome }) => `record ${outcome}`))
    },
  }
  return { steps, change: createAuditedChange({ db, audit }) }
}

const work = async () => ({ result: 'made', events: [event] })

test('a change is recorded before it is committed', async () => {
  const { steps, change } = recorder()
  assert.equal(await change(work), 'made')
  assert.deepEqual(steps, ['begin', 'record success', 'commit'])
})

test('a change that cannot be recorded is not committed; a late log may still write its row, so a second one follows', async () => {
  const { steps, change } = recorder({ auditFailsAt: [1] })
  await assert.rejects(change(work), { code: 'audit.unavailable', message: 'The audit log is not available.' })
  assert.deepEqual(steps, ['begin', 'record unknown'])
})

test('when that row fails too, nothing is changed either', async () => {
  const { steps, change } = recorder({ auditFailsAt: [1, 2] })
  await assert.rejects(change(work), {
    code: 'audit.unavailable',
    message: 'Nothing was changed, but the audit log may say that it was.',
  })
  assert.deepEqual(steps, ['begin'])
})

test('a change that fails before it is recorded leaves no row', async () => {
  const { steps, change } = recorder()
  await assert.rejects(
    change(() => Promise.reject(new AppError('object.not_found', 'No such object.'))),
    { code: 'object.not_found' },
  )
  assert.deepEqual(steps, ['begin'])
})

const unknown = { code: 'outcome.unknown', message: 'Whether the change was made is not known.' }

test('a commit without an answer gets a second row, and the caller is told that nobody knows', async () => {
  const { steps, change } = recorder({ commitError: away })
  await assert.rejects(change(work), unknown)
  assert.deepEqual(steps, ['begin', 'record success', 'record unknown'])
})

test('a commit that was answered with a refusal gets a second row, and the refusal is thrown', async () => {
  const { steps, change } = recorder({ commitError: new Error('rolled back') })
  await assert.rejects(change(work), /^Error: rolled back$/)
  assert.deepEqual(steps, ['begin', 'record success', 'record unknown'])
})

test('when that row fails too, the caller is told that nobody knows', async () => {
  const { change } = recorder({ commitError: away, auditFailsAt: [2] })
  await assert.rejects(change(work), unknown)
})

test('a change without events writes no row', async () => {
  const { steps, change } = recorder()
  await change(async () => ({ result: undefined, events: [] }))
  assert.deepEqual(steps, ['begin', 'commit'])
})
