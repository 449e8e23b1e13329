import { toBase64 } from '../core/base64.ts'
import { Secret } from '../core/secret.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { enrolmentProof } from '../envelope/enrolment.ts'
import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { requestMacKey } from './enrolment.ts'
import { trustOnFirstUse } from './issuer-keys.ts'
import { readPages } from './pages.ts'
import { createRecipient, type NewRecipient, type Recipient, type SuiteName, suiteOf } from './recipient.ts'
import { type Reader, sealedCall } from './sealed-call.ts'
import { SealwireError, toSealwireError } from './sealwire-error.ts'
import { parseVersion1Keys, type Version1Keys } from './version-1.ts'
import { fromWire } from './wire-names.ts'

/** Called with what has to be kept, before the server switches to it. When it throws, the server does not switch. */
export type KeepRecipient = (recipient: Recipient) => Promise<void> | void

export interface EnrolInput {
  /** For people, in lists. */
  name: string
  /** Of the key that is made here; `ML_KEM_SUITE` by default. */
  suite?: SuiteName
  /** From `createRecipient()`; made here by default. Give it to be able to try again after a lost answer. */
  keys?: NewRecipient
  /** base64url of the SHA-384 of the deployment's root key, from its log. Absent: the root is trusted on first use. */
  rootFingerprint?: string
  keep?: KeepRecipient
}

export interface RotateInput {
  /** That of the recipient before by default. */
  name?: string
  /** That of the recipient before by default. */
  suite?: SuiteName
  keys?: NewRecipient
  keep?: KeepRecipient
}

export interface RecipientInfo {
  id: string
  apiKeyId: string
  name: string
  custody: 'client' | 'server'
  suite: string
  state: 'pending' | 'active' | 'retired' | 'revoked'
  kemKeyId: string
  macKeyId: string
  createdAt: string
  confirmedAt: string | null
}

/** The public halves of one set of keys of version 1. */
export interface Version1Info {
  id: string
  envelopeVersion: 1
  tenantUuid: string
  kemKeyId: string
  /** base64. */
  kemPublicKey: string
  signingKeyId: string
  /** base64. */
  signingPublicKey: string
  macKeyId: string
  state: 'next' | 'active' | 'retired' | 'revoked' | 'destroyed'
  createdAt: string
}

const PATH = '/api/v2/recipients'
const pathOf = (id: string) => `${PATH}/${pathSegment(id)}`

/** Recipients of the API key: who may open its answers. */
export function createRecipients(connection: Connection, provider: CryptoProvider, reader: Reader | undefined) {
  const readers = reader?.readers

  async function get(id: string, options?: CallOptions): Promise<RecipientInfo> {
    return fromWire(await connection.call({ method: 'GET', path: pathOf(id) }, options)) as RecipientInfo
  }

  /** Step two. The same proof again is answered alike, so it may be repeated. */
  async function confirm(recipient: Recipient, options?: CallOptions): Promise<RecipientInfo> {
    const { publicKey } = suiteOf(recipient.suite).privateKey(provider, recipient.kemSeed.reveal())
    const proof = enrolmentProof(provider.macKey(recipient.macKey.reveal()), recipient.recipientId, publicKey)
    const path = `${pathOf(recipient.recipientId)}/confirm`
    const body = { proof: toBase64(proof) }
    return fromWire(await connection.call({ method: 'POST', path, body, repeatable: true }, options)) as RecipientInfo
  }

  /** Step one, and what to keep of it. */
  async function prepare(
    keys: NewRecipient,
    name: string,
    root: string,
    { keep, options }: { keep: KeepRecipient | undefined; options: CallOptions },
  ): Promise<Recipient> {
    const opened = await requestMacKey({ connection, provider, path: PATH, root }, keys, name, options)
    const { tenantId, recipientId, kemKeyId, macKeyId, macKey } = opened
    const { suite, kemSeed } = keys
    const { baseUrl } = connection
    const ids = { suite, baseUrl, tenantId, recipientId, kemKeyId, macKeyId, root }
    const recipient = { ...ids, kemSeed, macKey: new Secret(macKey) }
    await keep?.(recipient)
    return recipient
  }

  /** The recipient to be replaced has to be the active one of this very API key: enrolling replaces that one. */
  async function ownActive({ recipientId }: Recipient, options: CallOptions): Promise<RecipientInfo> {
    const info = await get(recipientId, options)
    const own = connection.apiKeyId
    if (own === undefined || info.apiKeyId !== own) {
      const message = `Recipient ${recipientId} belongs to ${info.apiKeyId}, not to the API key of this client.`
      throw new SealwireError('request.invalid', message, { outcome: 'rejected' })
    }
    if (info.state === 'active') return info
    const message = `Recipient ${recipientId} is ${info.state}, so there is nothing to rotate: enrol a new one.`
    throw new SealwireError('recipient.required', message, { outcome: 'rejected' })
  }

  return {
    /**
     * Makes this API key's answers open with a key that only the caller has: sends a fresh KEM key, opens the MAC key that
     * comes back, gives both to `keep`, proves them, and returns what to keep (`serialiseRecipient`).
     *
     * The first recipient of an API key needs `recipients:enroll`, each later one `keys:manage`. Without `rootFingerprint`
     * the root is trusted on first use, over TLS or on this machine only. When the last step fails with outcome `unknown`,
     * `confirm` with what `keep` was given finishes it, within ten minutes.
     *
     * @throws {SealwireError}
     */
    async enroll(input: EnrolInput, options: CallOptions = {}): Promise<Recipient> {
      const {
        name,
        suite,
        keys = createRecipient({ provider, ...(suite && { suite }) }),
        rootFingerprint,
        keep,
      } = input
      const findRoot = (signal: AbortSignal) => trustOnFirstUse(connection, provider, signal)
      const root = rootFingerprint ?? (await connection.repeat({ method: 'GET', path: PATH }, options, findRoot))
      const recipient = await prepare(keys, name, root, { keep, options })
      await confirm(recipient, options)
      return recipient
    },

    /** Finishes an enrolment or a rotation of which the last answer was lost. Asking again changes nothing. */
    confirm,

    /**
     * Replaces the recipient of this client by a new one of the same API key, under the same root; needs `keys:manage`.
     *
     * Calls under way lose nothing: from before the switch until no answer to the old recipient can arrive any more, this
     * client opens answers to either. Other processes with the old file stop opening answers, so hand them the new one.
     *
     * @throws {SealwireError} `recipient.required` without an active recipient, `request.invalid` when it is not that of
     * this API key. With outcome `unknown` the switch may have been made, and `confirm` with what `keep` was given settles it
     */
    async rotate(input: RotateInput = {}, options: CallOptions = {}): Promise<Recipient> {
      if (!readers) {
        const message = 'There is no recipient to rotate: pass one to the client, or enrol the first.'
        throw new SealwireError('recipient.required', message, { outcome: 'rejected' })
      }
      const before = readers.current
      const info = await ownActive(before, options)
      const suite = input.suite ?? (before.suite as SuiteName)
      const { name = info.name, keys = createRecipient({ provider, suite }), keep } = input
      const next = await prepare(keys, name, before.root, { keep, options })
      readers.expect(next)
      try {
        await confirm(next, options)
      } catch (err) {
        const error = toSealwireError(err, 'unknown')
        if (error.outcome !== 'unknown') readers.forget(next)
        throw error
      }
      readers.switchTo(next)
      return next
    },

    /** Reads one: of this API key, or, with `keys:manage`, any of the tenant. */
    get,

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<RecipientInfo[]> {
      return (await readPages(connection, PATH, options)) as RecipientInfo[]
    },

    /** Lists the public halves of the tenant's keys of version 1, newest first; none where version 1 is not allowed. */
    async listVersion1(options?: CallOptions): Promise<Version1Info[]> {
      const path = `${PATH}?envelope_version=1`
      return fromWire(await connection.call({ method: 'GET', path }, options)) as Version1Info[]
    },

    /**
     * Returns what opens the tenant's envelopes of version 1: for an API key of the role `owner`, on record, and sealed to
     * this client. With it every answer of the tenant in version 1 opens.
     *
     * @throws {SealwireError} as a sealed call does
     */
    async exportVersion1(id: string, options?: CallOptions): Promise<Version1Keys> {
      if (!reader) {
        const message = 'These keys come sealed, so this client needs a recipient.'
        throw new SealwireError('recipient.required', message, { outcome: 'rejected' })
      }
      const call = { method: 'POST', path: `${pathOf(id)}/export`, body: {}, repeatable: true } as const
      const { result } = await sealedCall(connection, reader, { ...call, operation: 'recipients.export' }, options)
      return parseVersion1Keys(result)
    },

    /** Revokes a recipient: within a second nothing is sealed to it any more. Its API key needs a new one. */
    async revoke(id: string, options?: CallOptions): Promise<RecipientInfo> {
      return fromWire(await connection.call({ method: 'DELETE', path: pathOf(id) }, options)) as RecipientInfo
    },
  }
}
