import { toBase64, toBase64Url } from '#src/core/base64.ts'
import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import {
  bytesNamed,
  derive,
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
import type { VectorKem } from './vector-kems.ts'

/** Envelope version 2 step by step, as the format describes it and without the code under test. */

const LABEL = 'sealwire/envelope/v2'
export const NOW_S = 1_795_000_000

const issuerSeed = bytesNamed('issuer', 32)
export const issuer = {
  key_id: 'sig_01kad3m5e0000000000000000e',
  seed: issuerSeed,
  pub: signingKeys(issuerSeed).pub,
}

export function headerJson({ recipient }: VectorKem, claims: Partial<ProtectedHeader>): string {
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
export function deriveKeys(kem: VectorKem, name: string, header: Bytes) {
  const { steps, ciphertext, sharedSecret } = kem.encapsulate(name)
  const salt = sha512Of(ciphertext, kem.recipient.ek)
  const info = labelled(LABEL, lengthPrefixed(header))
  const okm = derive(sharedSecret, salt, info)
  return {
    ...steps,
    ciphertext_kem: ciphertext,
    shared_secret: sharedSecret,
    salt,
    info,
    okm,
    aes_key: okm.slice(0, 32),
    key_commitment: okm.slice(32),
  }
}

export function authenticate(macKey: Bytes, parts: Omit<EnvelopeParts, 'hmac'>) {
  const fields = [parts.header, parts.ciphertext_kem, parts.key_commitment, parts.ciphertext_data]
  const transcript = labelled(LABEL, ...fields.map(lengthPrefixed))
  return { transcript, leaf: sha384Of(new Uint8Array([0]), transcript), hmac: macOf(macKey, transcript) }
}

/** Everything of one envelope that does not depend on the others in its batch. */
export function sealSteps(kem: VectorKem, name: string, claims: Partial<ProtectedHeader>, text: string) {
  const header = utf8(headerJson(kem, claims))
  const keys = deriveKeys(kem, name, header)
  const nonce = bytesNamed(`${name} nonce`, 12)
  const plaintext = utf8(text)
  const sealed = { ...keys, ciphertext_data: concatBytes(nonce, sealGcm(keys.aes_key, nonce, plaintext, header)) }
  const authentic = authenticate(kem.recipient.mac_key, { header, ...sealed })
  return { header, ...keys, nonce, plaintext, ciphertext_data: sealed.ciphertext_data, ...authentic }
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
  { algorithm, recipient }: VectorKem,
  parts: EnvelopeParts,
  signature: Bytes,
  proof: { index: number; size: number; hashes: readonly Bytes[] },
): HybridCryptoEnvelope {
  return {
    version: 2,
    protected: toBase64Url(parts.header),
    encrypted: {
      algorithm,
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
