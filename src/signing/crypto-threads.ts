import { Worker } from 'node:worker_threads'
import type { Bytes } from '../core/bytes.ts'
import type { CryptoProvider, SigningKey, VerifyKey } from '../crypto/provider.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { Issuer } from '../envelope/sign-leaves.ts'
import type { CryptoJob, CryptoResult, Keepsake } from './crypto-job.ts'
import { createJobThreads, type HeldKeys } from './job-threads.ts'
import type { SealBatch } from './signer.ts'

/** What is sealed, signed and verified in threads, so that the event loop stays free. */
export interface CryptoThreads {
  /** `base`; of the portable one with signatures made and verified in the threads. OpenSSL has Node's thread pool for that. */
  readonly provider: CryptoProvider
  readonly sealBatch: SealBatch
  close(): Promise<void>
}

export interface CryptoThreadsOptions {
  /** Threads, each started when it is first needed. With the portable provider 2: they sign with keys of tenants as well. */
  readonly count?: number
  /** The environment of the threads; empty when absent, for no secret but the keys of its jobs is their business. */
  readonly env?: Readonly<Record<string, string>>
  /** Starts a thread; for tests that end one. */
  readonly start?: () => Worker
  /** Milliseconds for one job; for tests. */
  readonly jobMs?: number
  /** Keys that a thread holds at most, and milliseconds for which it holds one that it does not need; for tests. */
  readonly keysMax?: number
  readonly idleMs?: number
}

/** More than a batch has recipients. */
const KEYS_MAX = 2048
/** Milliseconds for one job, the start of its thread included: a batch of the largest answers takes some seconds. */
const JOB_MS = 30_000
const IDLE_MS = 300_000

function unexpected(): Error {
  return new Error('A crypto thread answered something else.')
}

/**
 * Seals, signs and verifies in threads with `base`. No thread runs before the first job. A job whose thread ends, hangs or does
 * not start is done once more by another one; then it fails with what ended the second.
 */
export function createCryptoThreads(base: CryptoProvider, options: CryptoThreadsOptions = {}): CryptoThreads {
  const { env = {} } = options
  const startThread = () =>
    new Worker(new URL('../crypto-thread.ts', import.meta.url), { env: { ...env }, workerData: base.name })
  const { count = base.name === 'noble' ? 2 : 1, start = startThread } = options
  const { keysMax = KEYS_MAX, idleMs = IDLE_MS, jobMs = JOB_MS } = options
  const threads = createJobThreads<CryptoJob, CryptoResult>({
    count,
    start,
    keysMax,
    idleMs,
    jobMs,
    tidy: (held) => ({ keep: [], forget: held.forgotten(), nothing: true }),
  })
  const numbers = new WeakMap<object, number>()
  let last = 0

  function numberOf(key: object): number {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, ++last)
    return last
  }

  /** Collects what a thread has to be given for a job. */
  function keepsakes(held: HeldKeys) {
    const keep: [number, Keepsake][] = []
    return {
      need(key: object, what: () => Keepsake): number {
        const number = numberOf(key)
        if (held.need(number)) keep.push([number, what()])
        return number
      },
      /** Once everything that the job needs was named. */
      finish: () => ({ keep, forget: held.forgotten() }),
    }
  }

  const issuerOf = ({ keyId, signing, verify }: Issuer) => ({
    issuer: { keyId, signing: signing.postable, verify: verify.bytes },
  })
  const recipientOf = ({ tenantId, recipientId, suite, kemKeyId, kem, macKeyId, mac }: SealingRecipient) => ({
    recipient: { tenantId, recipientId, suite, kemKeyId, kemPublicKey: kem.bytes, macKeyId, mac: mac.postable },
  })

  function signingKey(made: SigningKey): SigningKey {
    return {
      ...made,
      async sign(message, context) {
        const result = await threads.ask((held) => {
          const keys = keepsakes(held)
          const sign = keys.need(made, () => ({ signing: made.postable }))
          return { ...keys.finish(), sign, message, context }
        })
        if (!('signature' in result)) throw unexpected()
        return result.signature as Bytes
      },
    }
  }

  function verifyKey(made: VerifyKey): VerifyKey {
    return {
      ...made,
      async verifyAsync(message, context, signature) {
        const result = await threads.ask((held) => {
          const keys = keepsakes(held)
          const verify = keys.need(made, () => ({ verify: made.bytes }))
          return { ...keys.finish(), verify, message, context, signature }
        })
        if (!('isValid' in result)) throw unexpected()
        return result.isValid
      },
    }
  }

  const portable: CryptoProvider = {
    ...base,
    signingKey: (seed) => signingKey(base.signingKey(seed)),
    verifyKey(bytes) {
      const made = base.verifyKey(bytes)
      return made && verifyKey(made)
    },
  }

  return {
    provider: base.name === 'noble' ? portable : base,
    async sealBatch(issuer, sealings) {
      const result = await threads.ask((held) => {
        const keys = keepsakes(held)
        const seal = keys.need(issuer, () => issuerOf(issuer))
        const posted = sealings.map(({ recipient, claims, plaintext }) => {
          return { recipient: keys.need(recipient, () => recipientOf(recipient)), claims, plaintext }
        })
        return { ...keys.finish(), seal, sealings: posted }
      })
      if (!('sealed' in result)) throw unexpected()
      return result.sealed
    },
    close: threads.close,
  }
}
