import { toBase64, toBase64Url } from '../core/base64.ts'
import { Secret } from '../core/secret.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { enrolmentProof, type OpenedEnrolment, openEnrolment } from '../envelope/enrolment.ts'
import { apiTarget, NONCE_BYTES, requestHash } from '../envelope/request-hash.ts'
import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { encodeBody } from './exchange.ts'
import { createIssuerKeys, trustOnFirstUse } from './issuer-keys.ts'
import { readPages } from './pages.ts'
import { createRecipient, type NewRecipient, type Recipient } from './recipient.ts'
import { fromWire } from './wire-names.ts'
import { dataOf } from './wrapper.ts'

export interface EnrolInput {
  /** For people, in lists. */
  name: string
  /** From `createRecipient()`; made here by default. Give it to be able to try again after a lost answer. */
  keys?: NewRecipient
  /** base64url of the SHA-384 of the deployment's root key, from its log. Absent: the root is trusted on first use. */
  rootFingerprint?: string
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

const PATH = '/api/v2/recipients'

/** Recipients of the API key: who may open its answers. */
export function createRecipients(connection: Connection, provider: CryptoProvider) {
  /** Step one: the server seals a MAC key to the new KEM key. Each attempt has a nonce of its own. */
  async function requestMacKey(
    keys: NewRecipient,
    name: string,
    root: string,
    options: CallOptions,
  ): Promise<OpenedEnrolment> {
    const issuers = createIssuerKeys(connection, provider, root)
    const kem = provider.kemPrivateKey(keys.kemSeed.reveal())
    const call = { method: 'POST', path: PATH, repeatable: true } as const
    const body = encodeBody({ kem_public_key: toBase64(keys.kemPublicKey), suite: keys.suite, name })
    return connection.repeat(call, options, async (signal) => {
      const issuerKeys = await issuers.load(signal)
      const nonce = provider.randomBytes(NONCE_BYTES)
      const rqh = requestHash(provider, { nonce, method: call.method, target: apiTarget(call.path), body })
      const headers = { 'Envelope-Nonce': toBase64Url(nonce) }
      const envelope = dataOf(await connection.send({ ...call, headers }, body, signal))
      const expected = { rqh, nowS: Math.floor(connection.clock.now() / 1000) }
      return issuers.judge(issuerKeys, signal, (fresh) =>
        openEnrolment(provider, envelope, kem, keys.suite, fresh, expected),
      )
    })
  }

  return {
    /**
     * Makes this client the one that opens the answers to its API key: sends a fresh KEM key, opens the MAC key that comes
     * back, proves it, and returns what to keep (`serialiseRecipient`). Nothing is kept when a step fails.
     *
     * Without `rootFingerprint` the root is trusted on first use, over TLS or on this machine only.
     *
     * @throws {SealwireError}
     */
    async enroll(
      { name, keys = createRecipient(provider), rootFingerprint }: EnrolInput,
      options: CallOptions = {},
    ): Promise<Recipient> {
      const findRoot = (signal: AbortSignal) => trustOnFirstUse(connection, provider, signal)
      const root = rootFingerprint ?? (await connection.repeat({ method: 'GET', path: PATH }, options, findRoot))
      const { tenantId, recipientId, kemKeyId, macKeyId, macKey } = await requestMacKey(keys, name, root, options)

      const proof = enrolmentProof(provider.macKey(macKey), recipientId, keys.kemPublicKey)
      const path = `${PATH}/${pathSegment(recipientId)}/confirm`
      await connection.call({ method: 'POST', path, body: { proof: toBase64(proof) }, repeatable: true }, options)

      const { suite, kemSeed } = keys
      const { baseUrl } = connection
      return { suite, baseUrl, tenantId, recipientId, kemKeyId, kemSeed, macKeyId, macKey: new Secret(macKey), root }
    },

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<RecipientInfo[]> {
      return (await readPages(connection, PATH, options)) as RecipientInfo[]
    },

    /** Revokes a recipient: nothing is sealed to it any more. Its API key needs a new one. */
    async revoke(id: string, options?: CallOptions): Promise<RecipientInfo> {
      return fromWire(
        await connection.call({ method: 'DELETE', path: `${PATH}/${pathSegment(id)}` }, options),
      ) as RecipientInfo
    },
  }
}
