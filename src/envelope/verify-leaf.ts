import type { Bytes } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { IssuerKey } from './issuer-key.ts'
import { ENVELOPE_CONTEXT } from './labels.ts'
import { rootFromProof } from './merkle.ts'
import type { ParsedEnvelope } from './parse-envelope.ts'
import { rootMessage, writeTranscript } from './transcript.ts'

/** Hashes the envelope to its leaf, follows the proof to the root and verifies the issuer's signature of it. */
export function verifyLeaf(
  provider: CryptoProvider,
  envelope: ParsedEnvelope,
  issuer: IssuerKey,
): { isSigned: boolean; leaf: Bytes; transcript: Bytes } {
  const { leafInput, transcript } = writeTranscript(envelope.parts)
  const leaf = provider.sha384(leafInput)
  const root = rootFromProof(provider, leaf, envelope, envelope.hashes)
  const isSigned =
    root !== undefined && issuer.key.verify(rootMessage(envelope.treeSize, root), ENVELOPE_CONTEXT, envelope.signature)
  return { isSigned, leaf, transcript }
}
