import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { HybridCryptoEnvelope } from '../envelope/envelope.ts'
import type { SealedEnvelope } from '../envelope/seal.ts'
import { type Issuer, signLeaves } from '../envelope/sign-leaves.ts'

/** A place in the signing queue. Exactly one of `sign` and `release` ends it; `release` afterwards does nothing. */
export interface Reservation {
  sign(sealed: SealedEnvelope): Promise<HybridCryptoEnvelope>
  release(): void
}

export interface Signer {
  readonly issuerKeyId: string
  /** Places taken: reserved, queued or being signed. */
  readonly pending: number
  /**
   * Takes a place before anything irrevocable is done, so that its answer can be signed.
   *
   * @throws {AppError} `signer.busy` when every place is taken
   */
  reserve(): Reservation
}

export interface SignerOptions {
  readonly provider: CryptoProvider
  readonly issuer: Issuer
  /** Most places, those in use included. */
  readonly maxQueue: number
}

interface Job {
  readonly sealed: SealedEnvelope
  resolve(envelope: HybridCryptoEnvelope): void
  reject(err: unknown): void
}

const MAX_IN_FLIGHT = 2
const LEAVES_PER_SIGNATURE = 1

/** Creates the signer of one issuer key: first in, first out, at most two signatures at a time. */
export function createSigner({ provider, issuer, maxQueue }: SignerOptions): Signer {
  const queue: Job[] = []
  let inFlight = 0
  let pending = 0

  async function signBatch(jobs: readonly Job[]): Promise<void> {
    try {
      const sealed = jobs.map((job) => job.sealed)
      const signatures = await signLeaves(provider, issuer, sealed)
      for (const [i, signature] of signatures.entries()) jobs[i]?.resolve(jobs[i].sealed.complete(signature))
    } catch (err) {
      for (const job of jobs) job.reject(err)
    }
  }

  function pump(): void {
    while (inFlight < MAX_IN_FLIGHT && queue.length > 0) {
      inFlight++
      void signBatch(queue.splice(0, LEAVES_PER_SIGNATURE)).then(() => {
        inFlight--
        pump()
      })
    }
  }

  function reserve(): Reservation {
    if (pending >= maxQueue) {
      throw new AppError('signer.busy', 'Too many answers wait for a signature.', { retryAfterS: 1 })
    }
    pending++
    let isOpen = true
    const free = (): void => {
      pending--
    }
    return {
      async sign(sealed) {
        if (!isOpen) throw new Error('This reservation was used or released')
        isOpen = false
        try {
          return await new Promise<HybridCryptoEnvelope>((resolve, reject) => {
            queue.push({ sealed, resolve, reject })
            pump()
          })
        } finally {
          free()
        }
      },
      release() {
        if (isOpen) free()
        isOpen = false
      },
    }
  }

  return {
    issuerKeyId: issuer.keyId,
    get pending() {
      return pending
    },
    reserve,
  }
}
