import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { type Bytes, concatBytes, copyBytes, utf8 } from '#src/core/bytes.ts'
import { bytesNamed, encapsulate, kemKeys, sha3Of, shake256Of } from './deterministic.ts'

/** What the vectors say about a recipient, with its private halves. */
export interface VectorRecipient {
  readonly tenant_id: string
  readonly recipient_id: string
  readonly suite: string
  readonly kem_key_id: string
  readonly kem_seed: Bytes
  readonly ek: Bytes
  readonly mac_key_id: string
  readonly mac_key: Bytes
}

/** The KEM of one suite, step by step, with randomness chosen by name. */
export interface VectorKem {
  readonly algorithm: string
  /** Begins the names of all randomness, so that no two suites share any. */
  readonly prefix: string
  readonly recipient: VectorRecipient
  encapsulate(name: string): { steps: Record<string, Bytes>; ciphertext: Bytes; sharedSecret: Bytes }
}

const ids = {
  tenant_id: 'ten_01kad3m5e0000000000000000a',
  recipient_id: 'rcp_01kad3m5e0000000000000000b',
}

const mlKemSeed = bytesNamed('recipient', 64)
const mlKemKeys = kemKeys(mlKemSeed)

export const mlKem: VectorKem = {
  algorithm: 'ML-KEM-768',
  prefix: '',
  recipient: {
    ...ids,
    suite: 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512',
    kem_key_id: 'kem_01kad3m5e0000000000000000c',
    kem_seed: mlKemSeed,
    ek: mlKemKeys.ek,
    mac_key_id: 'mac_01kad3m5e0000000000000000d',
    mac_key: bytesNamed('mac key', 64),
  },
  encapsulate(name) {
    const m = bytesNamed(`${name} encapsulation`, 32)
    return { steps: { encapsulation_m: m }, ...encapsulate(mlKemKeys.ek, m) }
  },
}

const x25519 = {
  privateKey: (scalar: Bytes) =>
    createPrivateKey({ key: Buffer.from(scalar), format: 'raw-private', asymmetricKeyType: 'x25519' }),
  publicKey: (scalar: Bytes): Bytes =>
    copyBytes(createPublicKey(x25519.privateKey(scalar)).export({ format: 'raw-public' })),
  agree: (scalar: Bytes, point: Bytes): Bytes => {
    const publicKey = createPublicKey({ key: Buffer.from(point), format: 'raw-public', asymmetricKeyType: 'x25519' })
    return copyBytes(diffieHellman({ privateKey: x25519.privateKey(scalar), publicKey }))
  },
}

const xWingSeed = bytesNamed('x-wing recipient', 32)
/** draft-connolly-cfrg-xwing-kem-10 §5.2. */
const xWingExpanded = shake256Of(xWingSeed, 96)
const xWingKeys = { mlKem: kemKeys(xWingExpanded.slice(0, 64)), x25519: x25519.publicKey(xWingExpanded.slice(64)) }

export const xWing: VectorKem = {
  algorithm: 'X-Wing',
  prefix: 'x-wing ',
  recipient: {
    ...ids,
    suite: 'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512',
    kem_key_id: 'kem_01kad3m5e0000000000000000j',
    kem_seed: xWingSeed,
    ek: concatBytes(xWingKeys.mlKem.ek, xWingKeys.x25519),
    mac_key_id: 'mac_01kad3m5e0000000000000000k',
    mac_key: bytesNamed('x-wing mac key', 64),
  },
  /** draft-connolly-cfrg-xwing-kem-10 §5.4: the seed is the ML-KEM message, then the ephemeral X25519 scalar. */
  encapsulate(name) {
    const seed = bytesNamed(`${name} encapsulation`, 64)
    const mlKemHalf = encapsulate(xWingKeys.mlKem.ek, seed.slice(0, 32))
    const ciphertextX25519 = x25519.publicKey(seed.slice(32))
    const secretX25519 = x25519.agree(seed.slice(32), xWingKeys.x25519)
    const label = utf8('\\.//^\\')
    const combined = concatBytes(mlKemHalf.sharedSecret, secretX25519, ciphertextX25519, xWingKeys.x25519, label)
    return {
      steps: {
        encapsulation_seed: seed,
        ml_kem_shared_secret: mlKemHalf.sharedSecret,
        x25519_shared_secret: secretX25519,
        combiner_input: combined,
      },
      ciphertext: concatBytes(mlKemHalf.ciphertext, ciphertextX25519),
      sharedSecret: sha3Of(combined),
    }
  },
}
/** What the X-Wing seed is expanded to. */
export const xWingExpandedSeed: Bytes = xWingExpanded
