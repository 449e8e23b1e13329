import { toBase64 } from '#src/core/base64.ts'
import { concatBytes, utf8 } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import {
  bytesNamed,
  derive,
  encapsulate,
  kemKeys,
  macOf,
  sealGcm,
  sha512Of,
  sign,
  signingKeys,
} from './deterministic.ts'
import { inHex, NOW_S } from './envelope-steps.ts'

const EMPTY = new Uint8Array()
const INFO = utf8('quantaseal-aes-key')

function makeTenant() {
  const kemSeed = bytesNamed('version 1 recipient', 64)
  const signingSeed = bytesNamed('version 1 signer', 32)
  const secret = bytesNamed('version 1 tenant secret', 64)
  return {
    tenant_id: 'ten_01kad3m5e0000000000000000a',
    tenant_uuid: '019a9a3a-15c0-0000-0000-00000000000a',
    kem_seed: kemSeed,
    ek: kemKeys(kemSeed).ek,
    signing_seed: signingSeed,
    pub: signingKeys(signingSeed).pub,
    tenant_secret: secret,
    mac_key: sha512Of(secret),
  }
}

function makeEnvelope(tenant: ReturnType<typeof makeTenant>, name: string, text: string) {
  const m = bytesNamed(`version 1 ${name} encapsulation`, 32)
  const { ciphertext, sharedSecret } = encapsulate(tenant.ek, m)
  const aesKey = derive(sharedSecret, EMPTY, INFO, 32)
  const nonce = bytesNamed(`version 1 ${name} nonce`, 12)
  const plaintext = utf8(text)
  const data = concatBytes(nonce, sealGcm(aesKey, nonce, plaintext, EMPTY))
  const signature = sign(signingKeys(tenant.signing_seed).sk, data, '')
  const hmac = macOf(tenant.mac_key, data)
  return {
    ...inHex({
      encapsulation_m: m,
      ciphertext_kem: ciphertext,
      shared_secret: sharedSecret,
      aes_key: aesKey,
      nonce,
      plaintext,
      ciphertext_data: data,
      pqc_signature: signature,
      hmac,
    }),
    envelope: {
      encrypted: {
        ciphertext_kem: toBase64(ciphertext),
        ciphertext_data: toBase64(data),
        tenant_id: tenant.tenant_uuid,
        algorithm: 'ML-KEM-768',
      },
      signature: {
        pqc_signature: toBase64(signature),
        hmac_signature: toBase64(hmac),
        tenant_id: tenant.tenant_uuid,
        algorithm: 'ML-DSA-65+HMAC-SHA-512',
      },
    },
  }
}

const zeros = new Uint8Array(32)
const counting = Uint8Array.from({ length: 32 }, (_, i) => i)

/** The members of a header of version 2, which version 1 has inside its plaintext. */
const ctx = {
  v: 1,
  suite: 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512',
  tid: 'ten_01kad3m5e0000000000000000a',
  kem: 'kem_01kad3m5e0000000000000000m',
  sig: 'sig_01kad3m5e0000000000000000n',
  mac: 'mac_01kad3m5e0000000000000000p',
  aud: 'rcp_01kad3m5e0000000000000000q',
  op: 'proxy.publish',
  sub: 'int_01kad3m5e0000000000000000g',
  rid: 'req_01kad3m5e0000000000000000f',
  rqh: null,
  st: 200,
  seq: null,
  iat: NOW_S,
  exp: NOW_S + 300,
}
const texts = [JSON.stringify({ ctx, data: { success: true, data: {}, error: null } }), '']

/** Makes the vectors of version 1: known answers of its key derivation, and envelopes with every intermediate value. */
export function makeVersion1Vectors() {
  const tenant = makeTenant()
  return {
    about: 'HybridCryptoEnvelope version 1. Byte strings in hexadecimal; envelopes as they are.',
    tenant: inHex(tenant),
    info: toHex(INFO),
    kdf: [zeros, counting].map((ikm) => inHex({ ikm, aes_key: derive(ikm, EMPTY, INFO, 32) })),
    envelopes: texts.map((text, i) => makeEnvelope(tenant, `envelope ${i}`, text)),
  }
}

export type Version1Vectors = ReturnType<typeof makeVersion1Vectors>
