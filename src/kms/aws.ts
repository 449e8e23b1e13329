import { DecryptCommand, EncryptCommand, KMSClient, KMSServiceException } from '@aws-sdk/client-kms'
import { copyBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { type KeyWrapper, WrapRefusedError } from './kms.ts'
import { createOutageGate } from './outage-gate.ts'

export interface AwsKeyWrapperOptions {
  region: string
  /** Key id, ARN or alias. */
  keyId: string
  /** Another address than the region's own, for a double. */
  endpoint?: string | undefined
  /** The SDK's own chain (environment, profile, role of the host) unless given. */
  credentials?: { accessKeyId: string; secretAccessKey: string } | undefined
  /** Milliseconds, for the waits between attempts in an outage; for tests. */
  monotonic?: () => number
}

const ATTEMPTS = 3
const CONNECT_TIMEOUT_MS = 1_000
const REQUEST_TIMEOUT_MS = 2_000
/** All attempts and the waits between them. */
const DEADLINE_MS = 6_000

/** What `Decrypt` says of a ciphertext or a key, as against throttling, time-outs and faults of its own. */
const REFUSALS: ReadonlySet<string> = new Set([
  'InvalidCiphertextException',
  'IncorrectKeyException',
  'InvalidKeyUsageException',
  'NotFoundException',
  'DisabledException',
  'KMSInvalidStateException',
  'AccessDeniedException',
])

function refusal(err: unknown): unknown {
  const isRefused = err instanceof KMSServiceException && REFUSALS.has(err.name)
  return isRefused ? new WrapRefusedError(err.name, { cause: err }) : err
}

/** Nobody answered, KMS has a fault of its own, or it asks for less. A no to this request, or a fault of one key, is none of these. */
function isOutage(err: unknown): boolean {
  if (err instanceof WrapRefusedError || (err as Error).name === 'KeyUnavailableException') return false
  return !(err instanceof KMSServiceException) || err.$fault === 'server' || err.name === 'ThrottlingException'
}

/**
 * Opens the key wrapper on AWS KMS. Nothing is asked before the first use; every request carries the whole encryption
 * context, and `Decrypt` always names the key, so that a ciphertext of another key or account is refused.
 *
 * @see AWS KMS API reference, Encrypt and Decrypt
 */
export function createAwsKeyWrapper(options: AwsKeyWrapperOptions): KeyWrapper {
  const { region, keyId: defaultKeyId, endpoint, credentials, monotonic = () => performance.now() } = options
  const gate = createOutageGate({ monotonic, random: Math.random, isOutage })
  const client = new KMSClient({
    region,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  })

  async function ask<T>(request: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await gate.run(() => request(AbortSignal.timeout(DEADLINE_MS)))
    } catch (err) {
      if (err instanceof AppError) throw err
      throw new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause: err, retryAfterS: 1 })
    }
  }

  return {
    provider: 'aws',
    defaultKeyId,
    wrap: (keyId, plaintext, context) =>
      ask(async (abortSignal) => {
        const command = new EncryptCommand({ KeyId: keyId, Plaintext: plaintext, EncryptionContext: context })
        const { CiphertextBlob, KeyId } = await client.send(command, { abortSignal })
        if (!CiphertextBlob || !KeyId) throw new Error('Encrypt answered without a ciphertext or a key.')
        return { keyId: KeyId, wrapped: copyBytes(CiphertextBlob) } // the key's ARN, also where an alias was asked for
      }),
    unwrap: (keyId, wrapped, context) =>
      ask(async (abortSignal) => {
        const command = new DecryptCommand({ KeyId: keyId, CiphertextBlob: wrapped, EncryptionContext: context })
        const { Plaintext } = await client.send(command, { abortSignal }).catch((err: unknown) => {
          throw refusal(err)
        })
        if (!Plaintext) throw new Error('Decrypt answered without a plaintext.')
        return copyBytes(Plaintext)
      }),
  }
}
