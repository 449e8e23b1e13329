import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { AppError } from '#src/core/errors.ts'
import { createAwsKeyWrapper } from '#src/kms/aws.ts'
import { type KeyWrapper, type WrapContext, WrapRefusedError } from '#src/kms/kms.ts'
import { type Fault, type KeyState, type KmsDouble, startKmsDouble } from '#test/support/kms-double.ts'
import { patience } from '#test/support/patience.ts'

const share = utf8('thirty-two bytes that are secret')
const context: WrapContext = { tenant_id: 'ten_a', purpose: 'vault-share', entry_id: 'entry-1', version: '1' }

let kms: KmsDouble
let key: { id: string; arn: string }
before(async () => {
  kms = await startKmsDouble()
})
after(() => kms.close())
beforeEach(() => {
  key = kms.createKey()
})

let aheadMs = 0
/** Past every wait of an outage. */
const waitOut = () => {
  aheadMs += 2_001
}

function wrapperFor(keyId: string, over: Partial<KmsDouble> = {}): KeyWrapper {
  const { url, region, accessKeyId, secretAccessKey } = { ...kms, ...over }
  const monotonic = () => performance.now() + aheadMs
  return createAwsKeyWrapper({ region, keyId, endpoint: url, credentials: { accessKeyId, secretAccessKey }, monotonic })
}

/** Asserts `kms.unavailable` whose cause, which no caller sees, has that name, and whether it is a no to this wrap. */
async function refusedAs(name: string, work: Promise<unknown>, isRefusal = false): Promise<void> {
  await assert.rejects(work, (err: unknown) => {
    assert.ok(err instanceof AppError)
    assert.equal(err.code, 'kms.unavailable')
    assert.equal(err.cause instanceof WrapRefusedError, isRefusal)
    const cause = err.cause instanceof WrapRefusedError ? err.cause.cause : err.cause
    assert.equal((cause as Error).name, name)
    assert.doesNotMatch(err.message, /Exception|arn:/)
    return true
  })
}

test('a wrap opens again under the key that it names, also when the key was asked for by its short id', async () => {
  const wrapper = wrapperFor(key.id)
  const { keyId, wrapped } = await wrapper.wrap(wrapper.defaultKeyId, share, context)
  assert.equal(keyId, key.arn)
  assert.deepEqual(await wrapper.unwrap(keyId, wrapped, context), share)
})

test('V5: every request to KMS names the key and carries tenant, purpose and record', async () => {
  const wrapper = wrapperFor(key.arn)
  const from = kms.requests.length
  const { keyId, wrapped } = await wrapper.wrap(key.arn, share, context)
  await wrapper.unwrap(keyId, wrapped, context)
  const asked = kms.requests
    .slice(from)
    .map(({ operation, keyId: named, context: given }) => ({ operation, keyId: named, context: given }))
  assert.deepEqual(asked, [
    { operation: 'Encrypt', keyId: key.arn, context },
    { operation: 'Decrypt', keyId: key.arn, context },
  ])
})

const otherContexts: { why: string; other: WrapContext }[] = [
  { why: 'another tenant', other: { ...context, tenant_id: 'ten_b' } },
  { why: 'another record', other: { ...context, entry_id: 'entry-2' } },
  { why: 'another version', other: { ...context, version: '2' } },
  { why: 'another purpose', other: { ...context, purpose: 'vault-key' } },
  { why: 'a member more', other: { ...context, extra: '1' } },
]
for (const { why, other } of otherContexts) {
  test(`V5: a wrap is refused with ${why}, and opens with its own context`, async () => {
    const wrapper = wrapperFor(key.arn)
    const { keyId, wrapped } = await wrapper.wrap(key.arn, share, context)
    await refusedAs('InvalidCiphertextException', wrapper.unwrap(keyId, wrapped, other), true)
    assert.deepEqual(await wrapper.unwrap(keyId, wrapped, context), share)
  })
}

test('a wrap under another key is refused, although that key exists and is enabled', async () => {
  const wrapper = wrapperFor(key.arn)
  const other = kms.createKey()
  const { wrapped } = await wrapper.wrap(key.arn, share, context)
  await refusedAs('IncorrectKeyException', wrapper.unwrap(other.arn, wrapped, context), true)
  await refusedAs('NotFoundException', wrapper.unwrap(`${key.arn.slice(0, -1)}x`, wrapped, context), true)
  assert.deepEqual(await wrapper.unwrap(key.arn, wrapped, context), share)
})

const states: { state: KeyState; name: string }[] = [
  { state: 'Disabled', name: 'DisabledException' },
  { state: 'PendingDeletion', name: 'KMSInvalidStateException' },
]
for (const { state, name } of states) {
  test(`a key that is ${state} wraps and unwraps nothing until it is enabled again`, async () => {
    const wrapper = wrapperFor(key.arn)
    const { wrapped } = await wrapper.wrap(key.arn, share, context)
    kms.setState(key.id, state)
    await refusedAs(name, wrapper.unwrap(key.arn, wrapped, context), true)
    await refusedAs(name, wrapper.wrap(key.arn, share, context))
    kms.setState(key.id, 'Enabled')
    assert.deepEqual(await wrapper.unwrap(key.arn, wrapped, context), share)
  })
}

test('a changed ciphertext is refused', async () => {
  const wrapper = wrapperFor(key.arn)
  const { wrapped } = await wrapper.wrap(key.arn, share, context)
  for (const i of [0, 20, wrapped.length - 1]) {
    const changed = wrapped.map((byte, at) => (at === i ? byte ^ 1 : byte))
    await refusedAs('InvalidCiphertextException', wrapper.unwrap(key.arn, changed, context), true)
  }
})

test('a fault of one key holds up nobody who has another', async () => {
  const wrapper = wrapperFor(key.arn)
  const other = kms.createKey()
  kms.fail({ type: 'KeyUnavailableException', status: 500, times: 3 })
  await refusedAs('KeyUnavailableException', wrapper.wrap(key.arn, share, context))
  await wrapper.wrap(other.arn, share, context)
})

const faults: { fault: Fault; name: string }[] = [
  { fault: { type: 'ThrottlingException', status: 400, times: 2 }, name: 'ThrottlingException' },
  { fault: { type: 'KMSInternalException', status: 500, times: 2 }, name: 'KMSInternalException' },
]
for (const { fault, name } of faults) {
  test(`${name}: two in a row are tried again, more are kms.unavailable after three attempts`, async () => {
    const wrapper = wrapperFor(key.arn)
    kms.fail({ ...fault, times: 2 })
    const { wrapped } = await wrapper.wrap(key.arn, share, context)

    kms.fail({ ...fault, times: 100 })
    const from = kms.requests.length
    await refusedAs(name, wrapper.unwrap(key.arn, wrapped, context))
    assert.equal(kms.requests.length - from, 3)
    kms.fail({ ...fault, times: 0 })
    waitOut()
    assert.deepEqual(await wrapper.unwrap(key.arn, wrapped, context), share)
  })
}

test('a KMS that accepts and says nothing is kms.unavailable within the deadline of six seconds', async () => {
  const wrapper = wrapperFor(key.arn)
  kms.fail({ silent: true, times: 100 })
  const startedAt = performance.now()
  await assert.rejects(wrapper.wrap(key.arn, share, context), { code: 'kms.unavailable' })
  assert.ok(performance.now() - startedAt < patience(8_000))
  kms.fail({ silent: true, times: 0 })
  waitOut()
  await wrapper.wrap(key.arn, share, context)
})

test('a KMS that is not there is kms.unavailable', async () => {
  const gone = await startKmsDouble()
  await gone.close()
  await assert.rejects(wrapperFor(key.arn, { url: gone.url }).wrap(key.arn, share, context), {
    code: 'kms.unavailable',
  })
})

test('the double refuses a wrong secret, a wrong access key, a wrong region and a missing context', async () => {
  await refusedAs(
    'InvalidSignatureException',
    wrapperFor(key.arn, { secretAccessKey: 'x' }).wrap(key.arn, share, context),
  )
  await refusedAs(
    'InvalidSignatureException',
    wrapperFor(key.arn, { accessKeyId: 'AKIAX' }).wrap(key.arn, share, context),
  )
  await refusedAs(
    'InvalidSignatureException',
    wrapperFor(key.arn, { region: 'us-east-1' }).wrap(key.arn, share, context),
  )
  await refusedAs('AccessDeniedException', wrapperFor(key.arn).wrap(key.arn, share, {} as WrapContext))
  await wrapperFor(key.arn).wrap(key.arn, share, context)
})

test('a plaintext of 4,096 bytes is wrapped, one more is refused', async () => {
  const wrapper = wrapperFor(key.arn)
  await wrapper.wrap(key.arn, new Uint8Array(4096), context)
  await refusedAs('ValidationException', wrapper.wrap(key.arn, new Uint8Array(4097), context))
})
