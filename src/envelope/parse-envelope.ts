import { fromBase64Url } from '../core/base64.ts'
import type { Bytes } from '../core/bytes.ts'
import { sizes } from '../crypto/sizes.ts'
import { MAX_TREE_SIZE, SIGNATURE_ALGORITHM } from './envelope.ts'
import { MAX_HEADER_BYTES, type ProtectedHeader, parseHeader } from './header.ts'
import { decode, decodeCiphertext, exactly } from './members.ts'
import { findSuite } from './suites.ts'
import type { TranscriptParts } from './transcript.ts'

export interface ParsedEnvelope {
  readonly header: ProtectedHeader
  readonly parts: TranscriptParts
  readonly signature: Bytes
  readonly hmac: Bytes
  readonly leafIndex: number
  readonly treeSize: number
  readonly hashes: readonly Bytes[]
}

/** Most hashes in a proof: log2 of the largest tree. */
const MAX_HASHES = Math.log2(MAX_TREE_SIZE)

function decodeProtected(text: unknown): Bytes | undefined {
  if (typeof text !== 'string' || text.length > Math.ceil((MAX_HEADER_BYTES * 4) / 3)) return undefined
  return fromBase64Url(text)
}

function parseProof(value: unknown): Pick<ParsedEnvelope, 'leafIndex' | 'treeSize' | 'hashes'> | undefined {
  const proof = exactly(value, 'leaf_index', 'tree_size', 'hashes')
  if (!proof || !Array.isArray(proof.hashes) || proof.hashes.length > MAX_HASHES) return undefined
  const { leaf_index: leafIndex, tree_size: treeSize } = proof
  if (!isWhole(treeSize) || treeSize < 1 || treeSize > MAX_TREE_SIZE) return undefined
  if (!isWhole(leafIndex) || leafIndex >= treeSize) return undefined
  const hashes = proof.hashes.map((hash) => decode(hash, sizes.sha384)).filter((hash) => hash !== undefined)
  return hashes.length === proof.hashes.length ? { leafIndex, treeSize, hashes } : undefined
}

/** A non-negative integer that is not −0, which JSON writes otherwise. */
function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && ((value as number) > 0 || Object.is(value, 0))
}

/**
 * Parses an envelope of version 2 out of JSON: exact members, canonical base64, exact sizes, one spelling of the header,
 * and outer fields that say what the header says. `undefined` for every reason alike.
 */
export function parseEnvelope(value: unknown): ParsedEnvelope | undefined {
  const outer = exactly(value, 'version', 'protected', 'encrypted', 'signature')
  if (outer?.version !== 2) return undefined
  const protectedBytes = decodeProtected(outer.protected)
  const header = protectedBytes && parseHeader(protectedBytes)
  const suite = header && findSuite(header.suite)
  if (!suite) return undefined

  const encrypted = exactly(
    outer.encrypted,
    ...(['algorithm', 'tenant_id', 'key_id', 'ciphertext_kem', 'ciphertext_data', 'key_commitment'] as const),
  )
  if (!encrypted || encrypted.algorithm !== suite.algorithm) return undefined
  if (encrypted.tenant_id !== header.tid || encrypted.key_id !== header.kem) return undefined
  const ciphertextKem = decode(encrypted.ciphertext_kem, suite.ciphertextBytes)
  const commitment = decode(encrypted.key_commitment, sizes.commitment)
  const ciphertextData = decodeCiphertext(encrypted.ciphertext_data)

  const signed = exactly(
    outer.signature,
    ...(['algorithm', 'tenant_id', 'key_id', 'mac_key_id'] as const),
    ...(['pqc_signature', 'hmac_signature', 'inclusion_proof'] as const),
  )
  if (!signed || signed.algorithm !== SIGNATURE_ALGORITHM) return undefined
  if (signed.tenant_id !== header.tid || signed.key_id !== header.sig || signed.mac_key_id !== header.mac)
    return undefined
  const signature = decode(signed.pqc_signature, sizes.dsaSignature)
  const hmac = decode(signed.hmac_signature, sizes.hmacTag)
  const proof = parseProof(signed.inclusion_proof)

  if (!ciphertextKem || !commitment || !ciphertextData || !signature || !hmac || !proof) return undefined
  return { header, parts: { protectedBytes, ciphertextKem, commitment, ciphertextData }, signature, hmac, ...proof }
}
