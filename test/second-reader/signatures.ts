import { createHash, createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import { bytesOf, integer, labelled, type Members, must, objectWith, Refused, text } from './decode.ts'

/** ML-DSA-65, pure, with a context string. */
export function isSignedBy(pub: Buffer, message: Buffer, context: string, signature: Buffer): boolean {
  const key = createPublicKey({ key: pub, format: 'raw-public', asymmetricKeyType: 'ml-dsa-65' })
  return verify(null, message, { key, context: Buffer.from(context) }, signature)
}

export function isMacOf(key: Buffer, message: Buffer, mac: Buffer): boolean {
  const expected = createHmac('sha512', key).update(message).digest()
  return expected.length === mac.length && timingSafeEqual(expected, mac)
}

export const sha384 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha384').update(Buffer.concat(parts)).digest()

export interface Issuer {
  readonly use: string
  readonly pub: Buffer
  readonly nbf: number
  readonly naf: number | null
  readonly state: string
}

const MOST = 2 ** 53 - 1
const DOCUMENT_KEYS = 'kid use pub nbf naf state'

function issuerOf(entry: Members): Issuer {
  const naf = entry['naf'] === null ? null : integer(entry['naf'], 1, MOST)
  const [use, state] = [text(entry['use']), text(entry['state'])]
  must(['envelope-v2', 'audit'].includes(use))
  must(['next', 'active', 'retired', 'revoked'].includes(state))
  return { use, state, pub: bytesOf(entry['pub'], 'base64url', 1952), nbf: integer(entry['nbf'], 1, MOST), naf }
}

/** Section 9: believes a key document under the pinned root, at a moment, and gives its keys by id. */
export function readKeyDocument(document: unknown, pinned: string, now: number): Map<string, Issuer> {
  try {
    const outer = objectWith(document, 'keys root_pub signed signature')
    const root = bytesOf(outer['root_pub'], 'base64url', 1952)
    const signed = bytesOf(outer['signed'], 'base64url', 1, 786_432)
    const signature = bytesOf(outer['signature'], 'base64', 3309)
    must(sha384(root).toString('base64url') === pinned)
    must(isSignedBy(root, labelled('sealwire/keys/v1', signed), 'sealwire/keys/v1', signature))
    const content = objectWith(JSON.parse(signed.toString()), 'v iat exp keys')
    must(JSON.stringify(content) === signed.toString() && content['v'] === 1)
    const [iat, exp] = [integer(content['iat'], 1, MOST), integer(content['exp'], 1, MOST)]
    must(exp > iat && exp - iat <= 7_776_000 && iat <= now + 60 && exp >= now - 60)
    const entries = (content['keys'] as unknown[]).map((entry) => objectWith(entry, DOCUMENT_KEYS))
    const issuers = new Map(entries.map((entry) => [text(entry['kid']), issuerOf(entry)]))
    must(issuers.size === entries.length)
    return issuers
  } catch {
    throw new Refused('envelope.issuer_unknown')
  }
}
