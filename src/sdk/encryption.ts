import type { CryptoProvider } from '../crypto/provider.ts'
import type { ProtectedHeader } from '../envelope/header.ts'
import { openEnvelope } from '../envelope/open.ts'
import { createReplayCache } from '../envelope/replay-cache.ts'
import { verifyOrigin } from '../envelope/verify-origin.ts'
import type { HybridCryptoEnvelopeV1 } from '../envelope/version-1.ts'
import { withAttempts } from './attempts.ts'
import type { CallClock } from './call-clock.ts'
import type { CallOptions } from './connection.ts'
import type { IssuerKeyMap, IssuerKeys } from './issuer-keys.ts'
import { answerOf, explainAddressee, parsePlaintext, type Reader } from './sealed-call.ts'
import { SealwireError, toSealwireError } from './sealwire-error.ts'
import { looksLikeVersion1, openVersion1Answer, type Version1Context, type Version1Keys } from './version-1.ts'
import type { Answer } from './wrapper.ts'

/** Envelopes opened without a call behind them are remembered until they expire; beyond this many, none is opened. */
const MAX_REMEMBERED = 100_000
const KEYS_TIMEOUT_MS = 10_000

export interface OpenedAnswer {
  /** The answer as it was sealed, with the names of the wire. */
  answer: Answer
  /** Of version 1, the context inside, which has the same members. */
  header: ProtectedHeader | Version1Context
}

export interface DecryptOptions extends CallOptions {
  /**
   * Opens envelopes of version 1 too, with `version1Keys`. That format signs neither the request nor the KEM ciphertext:
   * whoever relays such an answer can replace it by an older one that this process has not seen.
   */
  allowVersion1?: boolean
  /** From `recipients.exportVersion1`: the active set, and those before it whose answers may still come. */
  version1Keys?: readonly Version1Keys[]
}

export interface EncryptionOptions {
  provider: CryptoProvider
  clock: CallClock
  reader: Reader | undefined
  /** Absent without a pinned root. */
  issuers: IssuerKeys | undefined
  maxRetries: number
}

/** Envelopes that came some other way than as the answer to a call of this client. */
export function createEncryption({ provider, clock, reader, issuers, maxRetries }: EncryptionOptions) {
  const replays = createReplayCache({ maxEntries: MAX_REMEMBERED })

  async function withKeys<T>(options: CallOptions, judge: (keys: IssuerKeyMap) => T): Promise<T> {
    if (!issuers) {
      const message = 'Which root to believe is not known. Pass `recipient`, or `rootFingerprint` from the server log.'
      throw new SealwireError('envelope.issuer_unknown', message, { outcome: 'rejected' })
    }
    const limits = { timeoutMs: KEYS_TIMEOUT_MS, maxRetries, repeatable: true, ...options }
    const keys = await withAttempts(clock, limits, (signal) => issuers.load(signal))
    try {
      return await issuers.judge(keys, options.signal ?? AbortSignal.timeout(limits.timeoutMs), judge)
    } catch (err) {
      throw toSealwireError(err, 'rejected').withOutcome('rejected')
    }
  }

  function decryptVersion1(envelope: HybridCryptoEnvelopeV1, sets: readonly Version1Keys[]): OpenedAnswer {
    if (sets.length === 0) {
      const message = 'Opening version 1 needs `version1Keys`: recipients.exportVersion1 returns them to an owner key.'
      throw new SealwireError('recipient.required', message, { outcome: 'rejected' })
    }
    const nowS = Math.floor(clock.now() / 1000)
    try {
      const { header, data, leaf, expS } = openVersion1Answer(provider, envelope, sets, nowS)
      replays.enter(header.tid, leaf, expS, nowS)
      return { answer: answerOf(data), header }
    } catch (err) {
      throw toSealwireError(err, 'rejected').withOutcome('rejected')
    }
  }

  return {
    /**
     * Verifies both signatures of an answer (parsed JSON) and opens it, here and not at the server, and only once: without
     * a call behind it, nothing else tells an old answer from a new one. Other kinds of envelopes are not opened, and those
     * of version 1 only with `allowVersion1`.
     *
     * @throws {SealwireError} `envelope.rejected`; for authentic ones `envelope.stale` (over 300 s old), `envelope.replay`,
     * `envelope.mismatch`; `envelope.issuer_unknown`; `recipient.required`
     */
    async decrypt(envelope: unknown, options: DecryptOptions = {}): Promise<OpenedAnswer> {
      const { allowVersion1 = false, version1Keys = [], ...call } = options
      if (allowVersion1 && looksLikeVersion1(envelope)) return decryptVersion1(envelope, version1Keys)
      const readers = reader?.readers
      if (!readers) {
        throw new SealwireError('recipient.required', 'Opening an envelope needs a recipient.', { outcome: 'rejected' })
      }
      const open = (keys: IssuerKeyMap) => {
        const nowS = Math.floor(clock.now() / 1000)
        const { header, plaintext, leaf } = openEnvelope(provider, envelope, readers.readerFor(envelope), keys, {
          op: 'answer',
          rqh: undefined,
          nowS,
        })
        replays.enter(header.tid, leaf, header.exp ?? nowS, nowS)
        return { answer: parsePlaintext(plaintext), header }
      }
      return withKeys(call, open).catch((err: unknown) => {
        throw explainAddressee(err, envelope, readers)
      })
    },

    /**
     * Verifies which deployment made an envelope, whoever may open it and however old it is, and returns its header.
     * For auditors: it needs the pinned root, no recipient and no API key.
     *
     * @throws {SealwireError} `envelope.rejected`, `envelope.issuer_unknown`
     */
    async verifyOrigin(envelope: unknown, options: CallOptions = {}): Promise<ProtectedHeader> {
      return withKeys(options, (keys) => verifyOrigin(provider, envelope, keys))
    },
  }
}
