import { fromBase64 } from '../core/base64.ts'
import { type Bytes, decodeUtf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { isId, isUuid, uuidOfId } from '../core/ids.ts'
import { Secret } from '../core/secret.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { checkClaims } from '../envelope/expectation.ts'
import { encodeHeader, type ProtectedHeader } from '../envelope/header.ts'
import { ENROLMENT_OPERATION } from '../envelope/operation-kinds.ts'
import { rejected } from '../envelope/rejected.ts'
import { type HybridCryptoEnvelopeV1, openVersion1 } from '../envelope/version-1.ts'
import { SealwireError } from './sealwire-error.ts'
import { isRecord } from './wrapper.ts'

/** What opens the tenant's envelopes of version 1; from `recipients.exportVersion1`. */
export interface Version1Keys {
  /** The recipient that these envelopes name inside, in `aud`. */
  id: string
  tenantUuid: string
  kemKeyId: string
  /** 64 bytes, `d || z`. */
  kemSeed: Secret<Bytes>
  signingKeyId: string
  /** ML-DSA-65, 1952 bytes. */
  signingPublicKey: Bytes
  macKeyId: string
  /** 64 bytes. */
  hmacKey: Secret<Bytes>
}

/** The members of a header of version 2, from inside the plaintext of version 1. */
export type Version1Context = Omit<ProtectedHeader, 'v'> & { readonly v: 1 }

const CONTEXT_MEMBERS = 15

/**
 * Reads the answer to `recipients.export`.
 *
 * @throws {SealwireError} `answer.invalid`; the message holds no value of it
 */
export function parseVersion1Keys(data: unknown): Version1Keys {
  const refuse = (name: string): never => {
    throw new SealwireError('answer.invalid', `The exported keys are not complete: "${name}".`, { outcome: 'unknown' })
  }
  const members = isRecord(data) ? data : {}
  const text = (name: string, isRight: (value: string) => boolean): string => {
    const value = members[name]
    return typeof value === 'string' && isRight(value) ? value : refuse(name)
  }
  const bytes = (name: string, length: number): Bytes => {
    const value = fromBase64(text(name, () => true))
    return value?.length === length ? value : refuse(name)
  }
  return {
    id: text('id', (value) => isId('rcp', value)),
    tenantUuid: text('tenant_uuid', isUuid),
    kemKeyId: text('kem_key_id', (value) => isId('kem', value)),
    kemSeed: new Secret(bytes('kem_seed', sizes.kemSeed)),
    signingKeyId: text('signing_key_id', (value) => isId('sig', value)),
    signingPublicKey: bytes('signing_public_key', sizes.dsaPublicKey),
    macKeyId: text('mac_key_id', (value) => isId('mac', value)),
    hmacKey: new Secret(bytes('hmac_key', sizes.macKey)),
  }
}

/** Reports whether a value looks like an envelope of version 1, which has no member that says so. */
export function looksLikeVersion1(envelope: unknown): envelope is HybridCryptoEnvelopeV1 {
  return isRecord(envelope) && !('version' in envelope) && 'encrypted' in envelope && 'signature' in envelope
}

/** Judges the context as the header that it stands for, written by its rules; `undefined` for every reason alike. */
function parseContext(ctx: unknown): ProtectedHeader | undefined {
  if (!isRecord(ctx) || ctx['v'] !== 1 || Object.keys(ctx).length !== CONTEXT_MEMBERS) return undefined
  const header = { ...ctx, v: 2 } as unknown as ProtectedHeader
  try {
    encodeHeader(header)
    return header
  } catch (err) {
    if (err instanceof RangeError) return undefined
    throw err
  }
}

function parsePlaintext(plaintext: Bytes): { header: ProtectedHeader; data: unknown } | undefined {
  let json: unknown
  try {
    json = parseStrictJson(decodeUtf8(plaintext))
  } catch {
    return undefined // refused like every other form
  }
  const header = isRecord(json) ? parseContext(json['ctx']) : undefined
  return header && isRecord(json) ? { header, data: json['data'] } : undefined
}

/** Tries one set of keys; `undefined` when the envelope is not of it. */
function openWith(provider: CryptoProvider, envelope: unknown, keys: Version1Keys): Bytes | undefined {
  const verify = provider.verifyKey(keys.signingPublicKey)
  if (!verify) return undefined
  const kem = provider.kemPrivateKey(keys.kemSeed.reveal())
  const mac = provider.macKey(keys.hmacKey.reveal())
  try {
    return openVersion1(provider, envelope, { kem, verify, mac, tenantUuid: keys.tenantUuid })
  } catch (err) {
    if (err instanceof AppError && err.code === 'envelope.rejected') return undefined
    throw err
  }
}

/**
 * Opens an answer in version 1 with the set of keys that fits it, and judges the context inside: tenant, keys, kind, time.
 *
 * Version 1 binds an answer to no request, and its signature does not cover the KEM ciphertext: `leaf` (48 bytes) names what
 * is signed, so that a replay cache knows it again in any form.
 *
 * @throws {AppError} `envelope.rejected`; `envelope.stale`, `envelope.mismatch` for authentic ones
 */
export function openVersion1Answer(
  provider: CryptoProvider,
  envelope: HybridCryptoEnvelopeV1,
  sets: readonly Version1Keys[],
  nowS: number,
): { header: Version1Context; data: unknown; leaf: Bytes; expS: number } {
  for (const keys of sets) {
    const plaintext = openWith(provider, envelope, keys)
    if (!plaintext) continue
    const opened = parsePlaintext(plaintext)
    if (!opened) break
    const { header, data } = opened
    const isOfSet = header.aud === keys.id && header.kem === keys.kemKeyId && header.sig === keys.signingKeyId
    const isOfTenant = isId('ten', header.tid) && uuidOfId(header.tid) === keys.tenantUuid
    if (!isOfSet || !isOfTenant || header.mac !== keys.macKeyId || header.exp === null) break
    if (header.op === ENROLMENT_OPERATION)
      throw new AppError('envelope.mismatch', 'An enrolment opens as nothing else.')
    checkClaims(header, { op: 'answer', rqh: undefined, nowS })
    const signed = fromBase64(envelope.encrypted.ciphertext_data)
    if (!signed) break
    return { header: { ...header, v: 1 }, data, leaf: provider.sha384(signed), expS: header.exp }
  }
  throw rejected()
}
