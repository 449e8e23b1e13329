import { toBase64 } from '../../core/base64.ts'
import { type Bytes, equalBytes, utf8 } from '../../core/bytes.ts'
import { type BadMessage, type ClientFirst, channelBindingOf, parseClientFinal } from './messages.ts'
import { digest, hmac, type ScramHash, type ScramVerifier, scramHashes } from './verifier.ts'

/** What a server remembers between its challenge and the client's answer; for one answer only. */
export interface Challenge {
  readonly first: ClientFirst
  readonly verifier: ScramVerifier
  /** That of the client, and ours behind it. */
  readonly nonce: string
  /** The message to send. */
  readonly serverFirst: string
}

/**
 * Makes the server's first message: `r=<both nonces>,s=<salt>,i=<iterations>` (RFC 5802 §3).
 *
 * @param serverNonce 18 random characters or more, printable and without a comma; never used before
 */
export function challenge(first: ClientFirst, verifier: ScramVerifier, serverNonce: string): Challenge {
  if (!/^[\x21-\x2b\x2d-\x7e]{18,256}$/.test(serverNonce)) throw new TypeError('a nonce that is none')
  const nonce = `${first.nonce}${serverNonce}`
  const serverFirst = `r=${nonce},s=${toBase64(verifier.salt)},i=${verifier.iterations}`
  return { first, verifier, nonce, serverFirst }
}

/**
 * Checks a client's proof of a message in constant time, and gives the server's signature of it; `undefined` when it is wrong
 * (RFC 5802 §3). The proof has the size of the hash.
 */
export function judgeProof(
  hash: ScramHash,
  { storedKey, serverKey }: Pick<ScramVerifier, 'storedKey' | 'serverKey'>,
  authMessage: string,
  proof: Bytes,
): Bytes | undefined {
  const clientSignature = hmac(hash, storedKey, authMessage)
  const clientKey = proof.map((byte, i) => byte ^ (clientSignature[i] ?? 0))
  return equalBytes(digest(hash, clientKey), storedKey) ? hmac(hash, serverKey, authMessage) : undefined
}

/** Judges the client's last message and, where its proof is right, gives ours: `v=<signature>`. */
export function verifyFinal(
  { first, verifier, nonce, serverFirst }: Challenge,
  message: Uint8Array,
): { readonly serverFinal: Bytes } | (BadMessage & { readonly wrongProof?: true }) {
  const final = parseClientFinal(message)
  if ('problem' in final) return final
  if (final.channelBinding !== channelBindingOf(first.gs2Header)) return { problem: 'another channel binding' }
  if (final.nonce !== nonce) return { problem: 'another nonce' }
  const { hash, sizeBytes } = scramHashes[verifier.method]
  if (final.proof.length !== sizeBytes) return { problem: 'a proof of another length' }
  const signature = judgeProof(hash, verifier, `${first.bare},${serverFirst},${final.withoutProof}`, final.proof)
  return signature ? { serverFinal: utf8(`v=${toBase64(signature)}`) } : { problem: 'a wrong proof', wrongProof: true }
}
