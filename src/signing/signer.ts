import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { type HybridCryptoEnvelope, MAX_TREE_SIZE } from '../envelope/envelope.ts'
import type { SealedEnvelope } from '../envelope/seal.ts'
import { type Issuer, signLeaves } from '../envelope/sign-leaves.ts'
import { createSlices } from './slices.ts'

/** A place in the signing queue. Exactly one of `sign` and `release` ends it; `release` afterwards does nothing. */
export interface Reservation {
  /**
   * Calls `seal` when its turn comes, with the id of the issuer key that will sign, and answers the finished envelope.
   *
   * @throws {AppError} `internal` when the key made no valid signature, twice; and what `seal` throws
   */
  sign(seal: (issuerKeyId: string) => SealedEnvelope): Promise<HybridCryptoEnvelope>
  release(): void
}

export interface Signer {
  /** Places taken: reserved, queued or being signed. */
  readonly pending: number
  /**
   * Takes a place before anything irrevocable is done, so that its answer can be signed.
   *
   * @throws {AppError} `signer.busy` when every place is taken; what `issuer` throws while no key may sign
   */
  reserve(): Reservation
}

/** A batch that was signed. */
export interface SignedBatch {
  readonly envelopes: number
  /** Milliseconds that the first of them waited for the signer. */
  readonly waitMs: number
  /** Milliseconds of hashing the tree, signing and verifying. */
  readonly signMs: number
}

export interface SignerOptions {
  readonly provider: CryptoProvider
  /** The key that signs now; read again for every envelope. */
  readonly issuer: () => Issuer
  /** Most places, those in use included. */
  readonly maxQueue: number
  /** Most envelopes under one signature, 1 to 1,024. */
  readonly maxBatch?: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly observe?: (batch: SignedBatch) => void
}

interface Job {
  readonly sealed: SealedEnvelope
  readonly issuer: Issuer
  readonly queuedMs: number
  resolve(envelope: HybridCryptoEnvelope): void
  reject(err: unknown): void
}

/**
 * Milliseconds from the beginning of a batch to that of the next while more answers are on their way: a signature costs as
 * much processor time as sealing ten answers, so that fewer of them leave more for everything else.
 */
const BATCH_INTERVAL_MS = 4

/**
 * Creates the signer of the deployment. One batch is being signed at a time, and what is sealed meanwhile goes with the next
 * one, so that under load one signature serves many answers. An answer that is alone never waits: when every place that is
 * taken has its answer here, they are signed at once.
 *
 * A change of the issuer key ends a batch: an envelope is signed by the key that it names.
 */
export function createSigner(options: SignerOptions): Signer {
  const { provider, issuer: issuerNow, maxQueue, maxBatch = MAX_TREE_SIZE, clock, observe } = options
  const slices = createSlices(clock)
  const queue: Job[] = []
  let pending = 0
  let isSigning = false
  let beganMs = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  function takeBatch(): Job[] {
    const keyId = queue[0]?.issuer.keyId
    const other = queue.findIndex((job) => job.issuer.keyId !== keyId)
    return queue.splice(0, Math.min(maxBatch, other === -1 ? queue.length : other))
  }

  async function signBatch(issuer: Issuer, batch: readonly Job[], waitMs: number): Promise<void> {
    try {
      const sealed = batch.map((job) => job.sealed)
      const signatures = await signLeaves(provider, issuer, sealed)
      for (const [i, signature] of signatures.entries()) batch[i]?.resolve(batch[i].sealed.complete(signature))
      observe?.({ envelopes: batch.length, waitMs, signMs: clock.monotonic() - beganMs })
    } catch (err) {
      for (const job of batch) job.reject(err)
    } finally {
      pending -= batch.length
    }
  }

  async function beginBatch({ issuer, queuedMs }: Job): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    isSigning = true
    beganMs = clock.monotonic()
    await signBatch(issuer, takeBatch(), beganMs - queuedMs)
    isSigning = false
    pump()
  }

  /** Begins a batch when the signer is free, and either nothing more is on its way or it is time. */
  function pump(): void {
    const [first] = queue
    if (isSigning || !first) return
    const leftMs = beganMs + BATCH_INTERVAL_MS - clock.monotonic()
    if (leftMs <= 0 || queue.length >= Math.min(pending, maxBatch)) void beginBatch(first)
    else timer ??= setTimeout(pumpLater, leftMs)
  }

  function pumpLater(): void {
    timer = undefined
    pump()
  }

  function giveBack(): void {
    pending--
    pump() // what waited for this one only may go
  }

  async function sign(seal: (issuerKeyId: string) => SealedEnvelope): Promise<HybridCryptoEnvelope> {
    const { issuer, sealed } = await slices
      .run(() => {
        const now = issuerNow()
        return { issuer: now, sealed: seal(now.keyId) }
      })
      .catch((err: unknown) => {
        giveBack()
        throw err
      })
    return new Promise((resolve, reject) => {
      queue.push({ sealed, issuer, queuedMs: clock.monotonic(), resolve, reject })
      pump()
    })
  }

  function reserve(): Reservation {
    if (pending >= maxQueue) {
      throw new AppError('signer.busy', 'Too many answers wait for a signature.', { retryAfterS: 1 })
    }
    issuerNow() // without a key that may sign, nothing may be begun
    pending++
    let isOpen = true
    return {
      async sign(seal) {
        if (!isOpen) throw new Error('This reservation was used or released')
        isOpen = false
        return sign(seal)
      },
      release() {
        if (isOpen) giveBack()
        isOpen = false
      },
    }
  }

  return {
    get pending() {
      return pending
    },
    reserve,
  }
}
