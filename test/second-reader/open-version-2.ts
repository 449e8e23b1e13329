import { createDecipheriv, createHash, hkdfSync, timingSafeEqual } from 'node:crypto'
import { bytesOf, integer, labelled, lengthPrefixed, must, objectWith, Refused, text, u32 } from './decode.ts'
import { type Header, isNamedKind, readHeader } from './header.ts'
import { type Decapsulator, suites } from './kem.ts'
import { type Issuer, isMacOf, isSignedBy, sha384 } from './signatures.ts'

export interface Reader {
  readonly tid: string
  readonly aud: string
  readonly suite: string
  readonly kem: string
  readonly decapsulator: Decapsulator
  readonly mac: string
  readonly macKey: Buffer
}

export interface Expected {
  /** `answer`: any answer. */
  readonly op: string
  readonly sub?: string | null
  readonly rqh?: string | null
  readonly now: number
}

const CONTEXT = 'sealwire/envelope/v2'
const [TAG, NONCE, MOST_DATA] = [16, 12, 16 * 1024 * 1024 + 28]

/** Step 1: everything of an envelope as bytes. */
export function parse(value: unknown) {
  const outer = objectWith(value, 'version protected encrypted signature')
  must(outer['version'] === 2)
  const headerBytes = bytesOf(outer['protected'], 'base64url', 1, 800)
  const header = readHeader(headerBytes)
  const suite = suites[header.suite]
  must(suite !== undefined)
  const sealed = objectWith(
    outer['encrypted'],
    'algorithm tenant_id key_id ciphertext_kem ciphertext_data key_commitment',
  )
  const signed = objectWith(
    outer['signature'],
    'algorithm tenant_id key_id mac_key_id pqc_signature hmac_signature inclusion_proof',
  )
  const proof = objectWith(signed['inclusion_proof'], 'leaf_index tree_size hashes')
  must(sealed['algorithm'] === suite.algorithm && signed['algorithm'] === 'ML-DSA-65+HMAC-SHA-512')
  must(sealed['tenant_id'] === header.tid && signed['tenant_id'] === header.tid)
  must(sealed['key_id'] === header.kem && signed['key_id'] === header.sig && signed['mac_key_id'] === header.mac)
  const size = integer(proof['tree_size'], 1, 1024)
  must(Array.isArray(proof['hashes']) && proof['hashes'].length <= 10)
  return {
    header,
    headerBytes,
    ctKem: bytesOf(sealed['ciphertext_kem'], 'base64', suite.ciphertextBytes),
    commitment: bytesOf(sealed['key_commitment'], 'base64', 32),
    data: bytesOf(sealed['ciphertext_data'], 'base64', NONCE + TAG, MOST_DATA),
    signature: bytesOf(signed['pqc_signature'], 'base64', 3309),
    hmac: bytesOf(signed['hmac_signature'], 'base64', 64),
    index: integer(proof['leaf_index'], 0, size - 1),
    size,
    hashes: proof['hashes'].map((hash) => bytesOf(hash, 'base64', 48)),
  }
}

/** Section 7, from the top: the root over `size` leaves, of which this one is at `index`; `proof` is used up from its end. */
function rootOf(leaf: Buffer, index: number, size: number, proof: Buffer[]): Buffer {
  if (size === 1) return leaf
  let split = 1
  while (split * 2 < size) split *= 2
  const sibling = proof.pop()
  must(sibling !== undefined)
  return index < split
    ? sha384(Buffer.of(1), rootOf(leaf, index, split, proof), sibling)
    : sha384(Buffer.of(1), sibling, rootOf(leaf, index - split, size - split, proof))
}

export type Parsed = ReturnType<typeof parse>

/** Step 2, the half about the signer. */
export function findIssuer({ header }: Parsed, issuers: ReadonlyMap<string, Issuer>): Issuer {
  const issuer = issuers.get(text(header.sig))
  if (!issuer) throw new Refused('envelope.issuer_unknown')
  const outlivesRevocation = header.op === 'stored.message' || header.op === 'stored.object'
  must(issuer.use === 'envelope-v2' && (issuer.state !== 'revoked' || outlivesRevocation))
  return issuer
}

/** Step 3, all but the HMAC. */
export function verifyTree(it: Parsed, issuer: Issuer): { transcript: Buffer; leaf: Buffer; isSigned: boolean } {
  const fields = [it.headerBytes, it.ctKem, it.commitment, it.data].map(lengthPrefixed)
  const transcript = labelled(CONTEXT, ...fields)
  const leaf = sha384(Buffer.of(0), transcript)
  const proof = [...it.hashes]
  const root = rootOf(leaf, it.index, it.size, proof)
  must(proof.length === 0)
  const message = labelled(`${CONTEXT}/root`, u32(it.size), root)
  return { transcript, leaf, isSigned: isSignedBy(issuer.pub, message, CONTEXT, it.signature) }
}

/** Step 5. */
export function decrypt(it: Parsed, { ek, decapsulate }: Decapsulator): Buffer {
  const secret = decapsulate(it.ctKem)
  const salt = createHash('sha512').update(it.ctKem).update(ek).digest()
  const info = labelled(CONTEXT, lengthPrefixed(it.headerBytes))
  const okm = Buffer.from(hkdfSync('sha512', secret, salt, info, 64))
  must(timingSafeEqual(okm.subarray(32), it.commitment))
  return openGcm(okm.subarray(0, 32), it.data, it.headerBytes)
}

/** Step 4, after authenticity: only here an error has a name. */
export function judge(header: Header, issuer: Issuer, expected: Expected, isEnrolling = false): void {
  must(header.iat >= issuer.nbf && (issuer.naf === null || header.iat <= issuer.naf))
  const isEnrolment = header.op === 'recipients.enroll'
  const fits = expected.op === 'answer' ? !isNamedKind(header.op) : header.op === expected.op
  const isOther = (value: unknown, wanted: unknown) => wanted !== undefined && value !== wanted
  if (!fits || isEnrolment !== isEnrolling || isOther(header.sub, expected.sub) || isOther(header.rqh, expected.rqh))
    throw new Refused('envelope.mismatch')
  if (header.iat > expected.now + 60 || (header.exp !== null && header.exp < expected.now - 60))
    throw new Refused('envelope.stale')
}

/** Section 8 of the page. */
export function openVersion2(
  value: unknown,
  reader: Reader,
  issuers: ReadonlyMap<string, Issuer>,
  expected: Expected,
): { header: Header; plaintext: Buffer; leaf: Buffer } {
  const it = parse(value)
  const { header } = it
  for (const name of ['tid', 'aud', 'suite', 'kem', 'mac'] as const) must(header[name] === reader[name])
  const issuer = findIssuer(it, issuers)
  const { transcript, leaf, isSigned } = verifyTree(it, issuer)
  const isMac = isMacOf(reader.macKey, transcript, it.hmac)
  must((isSigned || issuer.state === 'revoked') && isMac)
  judge(header, issuer, expected)
  return { header, leaf, plaintext: decrypt(it, reader.decapsulator) }
}

export function openGcm(key: Buffer, data: Buffer, aad: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, NONCE), { authTagLength: TAG })
  decipher.setAAD(aad).setAuthTag(data.subarray(-TAG))
  const plaintext = decipher.update(data.subarray(NONCE, -TAG))
  try {
    decipher.final()
  } catch {
    throw new Refused()
  }
  return plaintext
}
