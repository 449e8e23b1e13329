import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '../core/base64.ts'
import { type Bytes, decodeUtf8, equalBytes, labelled, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider, SigningKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { MAX_SKEW_S } from './expectation.ts'
import type { IssuerKey, KeyState, KeyUse } from './issuer-key.ts'
import { KEYS_CONTEXT, KEYS_LABEL } from './labels.ts'

/** A public key as the document lists it; times in Unix seconds. */
export interface PublishedKey {
  readonly kid: string
  readonly use: KeyUse
  /** ML-DSA-65, 1952 bytes. */
  readonly pub: Bytes
  readonly nbf: number
  readonly naf: number | null
  readonly state: KeyState
}

/** What `/.well-known/sealwire-keys` serves. Readers use `signed` alone; `keys` is a copy for tools (RFC 9964). */
export interface KeyDocument {
  readonly keys: readonly {
    readonly kty: 'AKP'
    readonly alg: 'ML-DSA-65'
    readonly kid: string
    readonly pub: string
  }[]
  /** b64u, 1952 bytes. */
  readonly root_pub: string
  /** b64u of the JSON that the root signs. */
  readonly signed: string
  /** b64, 3309 bytes. */
  readonly signature: string
}

interface SignedKeys {
  readonly v: 1
  readonly iat: number
  readonly exp: number
  readonly keys: readonly (Omit<PublishedKey, 'pub'> & { readonly pub: string })[]
}

/** 90 days, with the root key offline; a root at hand signs for at most 7. */
const MAX_LIFE_S = 90 * 24 * 3600
const MAX_DOCUMENT_CHARACTERS = 1024 * 1024

const KEY_ID = /^[A-Za-z0-9._-]{1,64}$/
const uses: ReadonlySet<unknown> = new Set<KeyUse>(['envelope-v2', 'audit'])
const states: ReadonlySet<unknown> = new Set<KeyState>(['next', 'active', 'retired', 'revoked'])

/** Names a root public key: b64u of its SHA-384, 64 characters; this is what recipients pin. */
export function rootFingerprint(provider: CryptoProvider, publicKey: Uint8Array): string {
  return toBase64Url(provider.sha384(publicKey))
}

/** The one spelling of the signed part: members in order, no white space. */
function write({ v, iat, exp, keys }: SignedKeys): Bytes {
  const list = keys.map(({ kid, use, pub, nbf, naf, state }) => ({ kid, use, pub, nbf, naf, state }))
  return utf8(JSON.stringify({ v, iat, exp, keys: list }))
}

/**
 * Signs the list of public keys with the root key; `iat` and `exp` in Unix seconds.
 *
 * @throws {RangeError} a life under 1 s or over 90 days, or a key that readers would refuse
 * @throws {AppError} `internal` when the root's own signature does not verify
 */
export async function signKeyDocument(
  provider: CryptoProvider,
  root: { readonly signing: SigningKey },
  keys: readonly PublishedKey[],
  iat: number,
  exp: number,
): Promise<KeyDocument> {
  const list = keys.map(({ pub, ...key }) => ({ ...key, pub: toBase64Url(pub) }))
  const content = { v: 1, iat, exp, keys: list }
  const areKeys = keys.every(({ pub }) => pub.length === sizes.dsaPublicKey)
  if (!areKeys || !isSignedKeys(content)) throw new RangeError('Not a valid key document')
  const signed = write(content)
  const message = labelled(KEYS_LABEL, signed)
  const signature = await root.signing.sign(message, KEYS_CONTEXT)
  if (!provider.verifyKey(root.signing.publicKey)?.verify(message, KEYS_CONTEXT, signature)) {
    throw new AppError('internal', 'The root key made no valid signature.')
  }
  return {
    keys: list.map(({ kid, pub }) => ({ kty: 'AKP', alg: 'ML-DSA-65', kid, pub })),
    root_pub: toBase64Url(root.signing.publicKey),
    signed: toBase64Url(signed),
    signature: toBase64(signature),
  }
}

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1

function isListedKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { kid, use, pub, nbf, naf, state } = value as Record<keyof PublishedKey, unknown>
  if (typeof kid !== 'string' || !KEY_ID.test(kid) || typeof pub !== 'string') return false
  return uses.has(use) && states.has(state) && isTime(nbf) && (naf === null || (isTime(naf) && naf >= nbf))
}

function isSignedKeys(value: unknown): value is SignedKeys {
  if (typeof value !== 'object' || value === null) return false
  const { v, iat, exp, keys } = value as Record<keyof SignedKeys, unknown>
  if (v !== 1 || !isTime(iat) || !isTime(exp) || exp <= iat || exp - iat > MAX_LIFE_S) return false
  return Array.isArray(keys) && keys.every(isListedKey) && new Set(keys.map(({ kid }) => kid)).size === keys.length
}

function parseSigned(bytes: Bytes): SignedKeys | undefined {
  let value: unknown
  try {
    value = JSON.parse(decodeUtf8(bytes))
  } catch {
    return undefined // neither UTF-8 nor JSON: refused like every other spelling
  }
  return isSignedKeys(value) && equalBytes(write(value), bytes) ? value : undefined
}

/** Checks the pinned root and its signature, and only then reads what is signed. */
function verifySigned(provider: CryptoProvider, document: unknown, pinned: string): SignedKeys | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const { root_pub, signed, signature } = document as Record<keyof KeyDocument, unknown>
  if (typeof root_pub !== 'string' || typeof signed !== 'string' || typeof signature !== 'string') return undefined
  if (root_pub.length + signed.length + signature.length > MAX_DOCUMENT_CHARACTERS) return undefined
  const [rootBytes, signedBytes, tag] = [fromBase64Url(root_pub), fromBase64Url(signed), fromBase64(signature)]
  if (!rootBytes || !signedBytes || !tag || rootFingerprint(provider, rootBytes) !== pinned) return undefined
  const isSigned = provider.verifyKey(rootBytes)?.verify(labelled(KEYS_LABEL, signedBytes), KEYS_CONTEXT, tag)
  return isSigned ? parseSigned(signedBytes) : undefined
}

function importKeys(provider: CryptoProvider, keys: SignedKeys['keys']): Map<string, IssuerKey> | undefined {
  const issuers = new Map<string, IssuerKey>()
  for (const { kid, use, pub, nbf, naf, state } of keys) {
    const bytes = fromBase64Url(pub)
    const key = bytes && provider.verifyKey(bytes)
    if (!key) return undefined
    issuers.set(kid, { keyId: kid, use, state, notBefore: nbf, notAfter: naf, key })
  }
  return issuers
}

/**
 * Opens a key document (parsed JSON) under a pinned root and returns its keys by id, those of every use and state.
 *
 * @throws {AppError} `envelope.issuer_unknown` for every reason alike: another root, another signature, not of this time
 */
export function openKeyDocument(
  provider: CryptoProvider,
  document: unknown,
  pinnedFingerprint: string,
  nowS: number,
): ReadonlyMap<string, IssuerKey> {
  const content = verifySigned(provider, document, pinnedFingerprint)
  const isCurrent = content && content.iat - nowS <= MAX_SKEW_S && nowS - content.exp <= MAX_SKEW_S
  const issuers = isCurrent && importKeys(provider, content.keys)
  if (!issuers) throw new AppError('envelope.issuer_unknown', 'The pinned root does not vouch for this key document.')
  return issuers
}
