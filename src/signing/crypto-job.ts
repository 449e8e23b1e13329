import type { CryptoProvider, PostableKey, SigningKey, VerifyKey } from '../crypto/provider.ts'
import type { Claims, SealingRecipient } from '../envelope/seal.ts'
import { type Sealing, sealBatch } from '../envelope/seal-batch.ts'
import type { Issuer } from '../envelope/sign-leaves.ts'
import { findSuite } from '../envelope/suites.ts'
import { writeEnvelope } from '../envelope/write-envelope.ts'

/** A recipient as it is posted: its keys in the form that can be cloned. */
export type PostedRecipient = Omit<SealingRecipient, 'kem' | 'mac'> & {
  readonly kemPublicKey: Uint8Array
  readonly mac: PostableKey
}

/** What a thread is given once, and keeps under a number until it is told to forget it. */
export type Keepsake =
  | { readonly signing: PostableKey }
  | { readonly verify: Uint8Array }
  | { readonly issuer: { readonly keyId: string; readonly signing: PostableKey; readonly verify: Uint8Array } }
  | { readonly recipient: PostedRecipient }

export interface PostedSealing {
  /** Number of the recipient. */
  readonly recipient: number
  readonly claims: Claims
  readonly plaintext: string | Uint8Array
}

/** One job. Keys are named by their numbers; those that the thread does not hold come along. */
export type CryptoJob = {
  readonly keep: readonly (readonly [number: number, what: Keepsake])[]
  readonly forget: readonly number[]
} & (
  | { readonly sign: number; readonly message: Uint8Array; readonly context: Uint8Array }
  | {
      readonly verify: number
      readonly message: Uint8Array
      readonly context: Uint8Array
      readonly signature: Uint8Array
    }
  | { readonly seal: number; readonly sealings: readonly PostedSealing[] }
  | { readonly nothing: true }
)

/** Of a sealing the envelope as JSON, or why there is none. */
export type CryptoResult =
  | { readonly signature: Uint8Array }
  | { readonly isValid: boolean }
  | { readonly sealed: readonly (string | Error)[] }
  | { readonly nothing: true }

/** What came of a keepsake. */
type Kept = SigningKey | VerifyKey | Issuer | SealingRecipient

/** Makes the function that does a thread's jobs; a failure of it ends the thread. */
export function createCryptoWorker(provider: CryptoProvider): (job: CryptoJob) => Promise<CryptoResult> {
  const kept = new Map<number, Kept>()

  function unpack(what: Keepsake): Kept {
    if ('signing' in what) return provider.postedSigningKey(what.signing)
    if ('verify' in what) return verifyKeyOf(what.verify)
    if ('issuer' in what) {
      const { keyId, signing, verify } = what.issuer
      return { keyId, signing: provider.postedSigningKey(signing), verify: verifyKeyOf(verify) }
    }
    const { kemPublicKey, mac, ...recipient } = what.recipient
    const kem = findSuite(recipient.suite)?.publicKey(provider, kemPublicKey)
    if (!kem) throw new RangeError('Not an encapsulation key')
    return { ...recipient, kem, mac: provider.postedMacKey(mac) }
  }

  function verifyKeyOf(bytes: Uint8Array): VerifyKey {
    const key = provider.verifyKey(bytes)
    if (!key) throw new RangeError('Not a verification key')
    return key
  }

  function find<Known extends Kept>(number: number): Known {
    const known = kept.get(number)
    if (!known) throw new RangeError('A job came without its key')
    return known as Known
  }

  return async function work(job) {
    for (const number of job.forget) kept.delete(number)
    for (const [number, what] of job.keep) kept.set(number, unpack(what))
    if ('nothing' in job) return { nothing: true }
    if ('sign' in job) return { signature: await find<SigningKey>(job.sign).sign(job.message, job.context) }
    if ('verify' in job) {
      const { verify, message, context, signature } = job
      return { isValid: find<VerifyKey>(verify).verify(message, context, signature) }
    }
    const sealings = job.sealings.map((one): Sealing => ({ ...one, recipient: find<SealingRecipient>(one.recipient) }))
    const sealed = await sealBatch(provider, find<Issuer>(job.seal), sealings)
    return { sealed: sealed.map((one) => (one instanceof Error ? one : writeEnvelope(one))) }
  }
}
