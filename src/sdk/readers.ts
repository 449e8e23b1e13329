import type { CryptoProvider } from '../crypto/provider.ts'
import type { ReaderRecipient } from '../envelope/open.ts'
import { parseEnvelope } from '../envelope/parse-envelope.ts'
import type { CallClock } from './call-clock.ts'
import { type Recipient, readerOf } from './recipient.ts'
import { isRecord } from './wrapper.ts'

/**
 * How long a recipient that was replaced still opens answers: those of calls that were under way (30 s), until they expire
 * (300 s), with the skew of clocks (60 s), and some time for other servers to hear of it.
 */
const HELD_AFTER_SWITCH_MS = 420_000
/** Rotations within that time; before more of them the oldest recipient goes. */
const MAX_HELD = 8

interface Held {
  readonly recipient: Recipient
  readonly reader: ReaderRecipient
  /** On the monotonic clock. */
  untilMs: number
}

export type Readers = ReturnType<typeof createReaders>

/** The recipients that a client opens answers with: its own, and around a rotation the one before and the one after it. */
export function createReaders(provider: CryptoProvider, clock: Pick<CallClock, 'monotonic'>, first: Recipient) {
  const hold = (recipient: Recipient): Held => ({
    recipient,
    reader: readerOf(provider, recipient),
    untilMs: Number.POSITIVE_INFINITY,
  })
  let current = hold(first)
  let others: readonly Held[] = []

  const isSame = (a: Recipient, b: Recipient) => a.recipientId === b.recipientId
  const without = (recipient: Recipient) => others.filter((one) => !isSame(one.recipient, recipient))

  return {
    /** The recipient that new calls are expected to be answered to. */
    get current(): Recipient {
      return current.recipient
    },

    /** Opens answers to a recipient that the server may switch to at any moment. */
    expect(recipient: Recipient): void {
      others = [hold(recipient), ...without(recipient)].slice(0, MAX_HELD)
    },

    /** Gives a recipient up that the server did not switch to. */
    forget(recipient: Recipient): void {
      others = without(recipient)
    },

    /** Makes another recipient the current one, and keeps the one before for the answers that are still to come. */
    switchTo(recipient: Recipient): void {
      const next = others.find((one) => isSame(one.recipient, recipient)) ?? hold(recipient)
      const before = { ...current, untilMs: clock.monotonic() + HELD_AFTER_SWITCH_MS }
      others = [before, ...without(recipient)].slice(0, MAX_HELD)
      current = { ...next, untilMs: Number.POSITIVE_INFINITY }
    },

    /** Chooses by the key that an envelope names, which nobody has verified yet: opening it judges that again. */
    readerFor(envelope: unknown): ReaderRecipient {
      others = others.filter((one) => clock.monotonic() < one.untilMs)
      const encrypted = isRecord(envelope) ? envelope['encrypted'] : undefined
      const keyId = isRecord(encrypted) ? encrypted['key_id'] : undefined
      return (others.find((one) => one.reader.kemKeyId === keyId) ?? current).reader
    },
  }
}

/**
 * Says for whom an envelope claims to be, when that is not this recipient: the API key and the recipient file are then not of
 * one enrolment. Nobody has verified the claim: it is for people to read.
 */
export function addresseeHint(envelope: unknown, { tenantId, recipientId }: Recipient): string | undefined {
  const header = parseEnvelope(envelope)?.header
  if (header === undefined) return undefined
  if (header.tid !== tenantId) {
    return `The answer says that it is for tenant ${header.tid}, and this recipient is of ${tenantId}: the API key is of another tenant.`
  }
  if (header.aud === recipientId) return undefined
  return `The answer says that it is for ${header.aud}, and this recipient is ${recipientId}: the API key is another one, or it enrolled again since.`
}
