import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { MAX_TREE_SIZE } from '../envelope/envelope.ts'
import type { Sealing } from '../envelope/seal-batch.ts'
import type { Issuer } from '../envelope/sign-leaves.ts'

/** A place in the signing queue. Exactly one of `seal` and `release` ends it; `release` afterwards does nothing. */
export interface Reservation {
  /**
   * Seals a plaintext and has it signed with what else waits. Answers the envelope as JSON.
   *
   * @throws {AppError} what `issuer` throws while no key may sign
   * @throws {Error} why it cannot be sealed, or its batch not be signed; from a thread no `AppError`, whatever its name says
   */
  seal(sealing: Sealing): Promise<string>
  release(): void
}

/**
 * Seals and signs 1 to 1,024 plaintexts under one signature of `issuer`. Answers in order the envelope of each as JSON, or
 * why it cannot be sealed.
 */
export type SealBatch = (issuer: Issuer, sealings: readonly Sealing[]) => Promise<readonly (string | Error)[]>

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
  /** Milliseconds of sealing, hashing the tree, signing and verifying. */
  readonly signMs: number
}

export interface SignerOptions {
  readonly sealBatch: SealBatch
  /** The key that signs now; read again for every batch. */
  readonly issuer: () => Issuer
  /** Most places, those in use included. */
  readonly maxQueue: number
  /** Most envelopes under one signature, 1 to 1,024. */
  readonly maxBatch?: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly observe?: (batch: SignedBatch) => void
}

/**
 * Characters or bytes of the plaintexts of a batch together; a longer one is a batch of its own. Sealing takes several times
 * as much memory, and while it lasts everybody else waits.
 */
const MAX_BATCH_LENGTH = 4 * 1024 * 1024

/** Answers that are handed out in one turn of the event loop: sending so many takes about half a millisecond. */
const HANDED_AT_ONCE = 16

interface Job {
  readonly sealing: Sealing
  readonly queuedMs: number
  resolve(envelope: string): void
  reject(err: unknown): void
}

/**
 * Creates the signer of the deployment. One batch is being sealed and signed at a time, and what comes meanwhile goes with
 * the next one, so that under load one signature serves many answers. An answer that is alone waits for nothing.
 */
export function createSigner(options: SignerOptions): Signer {
  const { sealBatch, issuer: issuerNow, maxQueue, maxBatch = MAX_TREE_SIZE, clock, observe } = options
  const queue: Job[] = []
  let pending = 0
  let isSigning = false

  async function signBatch(batch: readonly Job[]): Promise<void> {
    const beganMs = clock.monotonic()
    try {
      const issuer = issuerNow()
      const envelopes = await sealBatch(
        issuer,
        batch.map(({ sealing }) => sealing),
      )
      const waitMs = beganMs - (batch[0]?.queuedMs ?? beganMs)
      observe?.({ envelopes: batch.length, waitMs, signMs: clock.monotonic() - beganMs })
      void handOut(batch, envelopes) // the next batch is sealed meanwhile
    } catch (err) {
      pending -= batch.length
      for (const job of batch) job.reject(err)
    }
  }

  async function handOut(batch: readonly Job[], envelopes: readonly (string | Error)[]): Promise<void> {
    for (const [i, job] of batch.entries()) {
      if (i > 0 && i % HANDED_AT_ONCE === 0) await nextTurn()
      const envelope = envelopes[i]
      pending--
      if (typeof envelope === 'string') job.resolve(envelope)
      else job.reject(envelope)
    }
  }

  /** Takes from the queue what goes with the next batch: at least one. */
  function takeBatch(): Job[] {
    let count = 0
    let length = 0
    for (const { sealing } of queue) {
      length += sealing.plaintext.length
      if (count > 0 && (count === maxBatch || length > MAX_BATCH_LENGTH)) break
      count++
    }
    return queue.splice(0, count)
  }

  /** Signs while anything waits. It is begun when the sockets of a turn of the event loop are read: what they bring goes along. */
  async function pump(): Promise<void> {
    while (queue.length > 0) await signBatch(takeBatch())
    isSigning = false
  }

  function enqueue(sealing: Sealing): Promise<string> {
    return new Promise((resolve, reject) => {
      queue.push({ sealing, queuedMs: clock.monotonic(), resolve, reject })
      if (isSigning) return
      isSigning = true
      setImmediate(() => void pump())
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
      async seal(sealing) {
        if (!isOpen) throw new Error('This reservation was used or released')
        isOpen = false
        return enqueue(sealing)
      },
      release() {
        if (isOpen) pending--
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
