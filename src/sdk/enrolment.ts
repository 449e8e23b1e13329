import { toBase64, toBase64Url } from '../core/base64.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { type OpenedEnrolment, openEnrolment } from '../envelope/enrolment.ts'
import { apiTarget, NONCE_BYTES, requestHash } from '../envelope/request-hash.ts'
import type { CallOptions, Connection } from './connection.ts'
import { encodeBody } from './exchange.ts'
import { createIssuerKeys } from './issuer-keys.ts'
import { type NewRecipient, suiteOf } from './recipient.ts'
import { dataOf } from './wrapper.ts'

export interface EnrolmentWay {
  connection: Connection
  provider: CryptoProvider
  /** Where recipients are enrolled. */
  path: string
  /** The pinned root. */
  root: string
}

/**
 * Sends a KEM key and opens the MAC key (64 bytes) that the server seals to it: step one of an enrolment. Each attempt has a
 * nonce of its own, and nothing but the answer to it is opened.
 *
 * @throws {SealwireError}
 */
export async function requestMacKey(
  { connection, provider, path, root }: EnrolmentWay,
  keys: NewRecipient,
  name: string,
  options: CallOptions,
): Promise<OpenedEnrolment> {
  const issuers = createIssuerKeys(connection, provider, root)
  const kem = suiteOf(keys.suite).privateKey(provider, keys.kemSeed.reveal())
  const call = { method: 'POST', path, repeatable: true } as const
  const body = encodeBody({ kem_public_key: toBase64(keys.kemPublicKey), suite: keys.suite, name })
  return connection.repeat(call, options, async (signal) => {
    const issuerKeys = await issuers.load(signal)
    const nonce = provider.randomBytes(NONCE_BYTES)
    const rqh = requestHash(provider, { nonce, method: call.method, target: apiTarget(path), body })
    const headers = { 'Envelope-Nonce': toBase64Url(nonce) }
    const envelope = dataOf(await connection.send({ ...call, headers }, body, signal))
    const expected = { rqh, nowS: Math.floor(connection.clock.now() / 1000) }
    return issuers.judge(issuerKeys, signal, (fresh) =>
      openEnrolment(provider, envelope, kem, keys.suite, fresh, expected),
    )
  })
}
