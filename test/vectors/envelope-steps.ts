import { toBase64, toBase64Url } from '#src/core/base64.ts'
import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import {
  bytesNamed,
  derive,
  encapsulate,
  kemKeys,
  labelled,
  lengthPrefixed,
  macOf,
  sealGcm,
  sha384Of,
  sha512Of,
  sign,
  signingKeys,
  u32,
} from './deterministic.ts'

/** Envelope version 2 step by step, as the format describes it and without the code under test. */

const LABEL = 'sealwire/envelope/v2'
export const NOW_S = 1_795_000_000

const kemSeed = bytesNamed('recipient', 64)
const issuerSeed = bytesNamed('issuer', 32)
export const recipient = {
  tenant_id: 'ten_01kad3m5e0000000000000000a',
  recipient_id: 'rcp_01kad3m5e0000000000000000b',
  suite: 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512',
  kem_key_id: 'kem_01kad3m5e0000000000000000c',
  kem_seed: kemSeed,
  ek: kemKeys(kemSeed).ek,
  mac_key_id: 'mac_01kad3m5e0000000000000000d',
  mac_key: bytesNamed('mac key', 64),
}
export const issuer = {
  key_id: 'sig_01kad3m5e0000000000000000e',
  seed: issuerSeed,
  pub: signingKeys(issuerSeed).pub,
}

export function headerJson(claims: Partial<ProtectedHeader>): string {
  const { suite, tenant_id: tid, kem_key_id: kem, mac_key_id: mac, recipient_id: aud } = recipient
  const fixed = { v: 2, suite, tid, kem, sig: issuer.key_id, mac, aud }
  const common = {
    op: 'proxy.publish',
    sub: null,
    rid: 'req_01kad3m5e0000000000000000f',
    rqh: null,
    st: 200,
    seq: null,
  }
  return JSON.stringify({ ...fixed, ...common, iat: NOW_S, exp: NOW_S + 300, ...claims })
}

/** Encapsulation and derived keys for one header; `name` chooses the randomness. */
export function deriveKeys(name: string, header: Bytes) {
  const m = bytesNamed(`${name} encapsulation`, 32)
  const { ciphertext, sharedSecret } = encapsulate(recipient.ek, m)
  const salt = sha512Of(ciphertext, recipient.ek)
  const info = labelled(LABEL, lengthPrefixed(header))
  const okm = derive(sharedSecret, salt, info)
  return {
    encapsulation_m: m,
    ciphertext_kem: ciphertext,
    shared_secret: sharedSecret,
    salt,
    info,
    okm,
    aes_key: okm.slice(0, 32),
    key_commitment: okm.slice(32),
  }
}

export function authenticate(header: Bytes, ciphertextKem: Bytes, commitment: Bytes, ciphertextData: Bytes) {
  const transcript = labelled(LABEL, ...[header, ciphertextKem, commitment, ciphertextData].map(lengthPrefixed))
  return { transcript, leaf: sha384Of(new Uint8Array([0]), transcript), hmac: macOf(recipient.mac_key, transcript) }
}

/** Everything of one envelope that does not depend on the others in its batch. */
export function sealSteps(name: string, claims: Partial<ProtectedHeader>, text: string) {
  const header = utf8(headerJson(claims))
  const keys = deriveKeys(name, header)
  const nonce = bytesNamed(`${name} nonce`, 12)
  const plaintext = utf8(text)
  const ciphertextData = concatBytes(nonce, sealGcm(keys.aes_key, nonce, plaintext, header))
  const authentic = authenticate(header, keys.ciphertext_kem, keys.key_commitment, ciphertextData)
  return { header, ...keys, nonce, plaintext, ciphertext_data: ciphertextData, ...authentic }
}

export function signRoot(treeSize: number, root: Bytes): { message: Bytes; signature: Bytes } {
  const message = labelled(`${LABEL}/root`, u32(treeSize), root)
  return { message, signature: sign(signingKeys(issuer.seed).sk, message, LABEL) }
}

export interface EnvelopeParts {
  header: Bytes
  ciphertext_kem: Bytes
  key_commitment: Bytes
  ciphertext_data: Bytes
  hmac: Bytes
}

export function assemble(
  parts: EnvelopeParts,
  signature: Bytes,
  proof: { index: number; size: number; hashes: readonly Bytes[] },
): HybridCryptoEnvelope {
  return {
    version: 2,
    protected: toBase64Url(parts.header),
    encrypted: {
      algorithm: 'ML-KEM-768',
      tenant_id: recipient.tenant_id,
      key_id: recipient.kem_key_id,
      ciphertext_kem: toBase64(parts.ciphertext_kem),
      ciphertext_data: toBase64(parts.ciphertext_data),
      key_commitment: toBase64(parts.key_commitment),
    },
    signature: {
      algorithm: 'ML-DSA-65+HMAC-SHA-512',
      tenant_id: recipient.tenant_id,
      key_id: issuer.key_id,
      mac_key_id: recipient.mac_key_id,
      pqc_signature: toBase64(signature),
      hmac_signature: toBase64(parts.hmac),
      inclusion_proof: { leaf_index: proof.index, tree_size: proof.size, hashes: proof.hashes.map(toBase64) },
    },
  }
}

/** The same object with every byte string in lower-case hexadecimal. */
export function inHex<T extends object>(value: T): { [K in keyof T]: T[K] extends Bytes ? string : T[K] } {
  const entries = Object.entries(value).map(([name, member]) => [
    name,
    member instanceof Uint8Array ? toHex(member) : member,
  ])
  return Object.fromEntries(entries) as { [K in keyof T]: T[K] extends Bytes ? string : T[K] }
}
