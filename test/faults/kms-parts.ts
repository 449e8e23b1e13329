import { systemClock } from '#src/core/clock.ts'
import type { KmsDouble } from '#test/support/kms-double.ts'

/** The system's clock, put ahead by the test. */
export function movedClock() {
  let aheadMs = 0
  return {
    now: () => systemClock.now() + aheadMs,
    monotonic: () => systemClock.monotonic() + aheadMs,
    advance(ms: number) {
      aheadMs += ms
    },
  }
}

/** Variables of a server that wraps under a key of the double. */
export function awsEnv(kms: KmsDouble, keyId: string): Record<string, string> {
  return {
    KMS_PROVIDER: 'aws',
    AWS_REGION: kms.region,
    KMS_KEY_ID: keyId,
    KMS_ENDPOINT: kms.url,
    AWS_ACCESS_KEY_ID: kms.accessKeyId,
    AWS_SECRET_ACCESS_KEY: kms.secretAccessKey,
  }
}
