import { toBase64, toBase64Url } from '#src/core/base64.ts'
import { utf8 } from '#src/core/bytes.ts'
import { bytesNamed, labelled, sha384Of, sign, signingKeys } from './deterministic.ts'
import { inHex, issuer, NOW_S } from './envelope-steps.ts'

const LABEL = 'sealwire/keys/v1'

/** Makes the vectors of the key document: one key of each state, both uses. */
export function makeKeyDocumentVectors() {
  const seed = bytesNamed('root', 32)
  const { pub, sk } = signingKeys(seed)
  const named = (name: string) => toBase64Url(signingKeys(bytesNamed(name, 32)).pub)
  const keys = [
    {
      kid: issuer.key_id,
      use: 'envelope-v2',
      pub: toBase64Url(issuer.pub),
      nbf: NOW_S - 3600,
      naf: null,
      state: 'active',
    },
    { kid: 'sig_next', use: 'envelope-v2', pub: named('next'), nbf: NOW_S, naf: null, state: 'next' },
    { kid: 'sig_retired', use: 'envelope-v2', pub: named('retired'), nbf: 1, naf: NOW_S, state: 'retired' },
    { kid: 'sig_revoked', use: 'envelope-v2', pub: named('revoked'), nbf: 1, naf: NOW_S, state: 'revoked' },
    { kid: 'aud_active', use: 'audit', pub: named('audit'), nbf: NOW_S, naf: null, state: 'active' },
  ]
  const signedText = JSON.stringify({ v: 1, iat: NOW_S, exp: NOW_S + 7 * 86_400, keys })
  const message = labelled(LABEL, utf8(signedText))
  const signature = sign(sk, message, LABEL)
  return {
    about: 'Key document version 1. Byte strings in hexadecimal; the signed text and the document as they are.',
    now: NOW_S,
    root: inHex({ seed, pub, fingerprint: toBase64Url(sha384Of(pub)) }),
    signed_text: signedText,
    ...inHex({ message, signature }),
    document: {
      keys: keys.map(({ kid, pub: publicKey }) => ({ kty: 'AKP', alg: 'ML-DSA-65', kid, pub: publicKey })),
      root_pub: toBase64Url(pub),
      signed: toBase64Url(utf8(signedText)),
      signature: toBase64(signature),
    },
  }
}

export type KeyDocumentVectors = ReturnType<typeof makeKeyDocumentVectors>
