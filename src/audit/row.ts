import { type Bytes, labelled, lengthPrefixed, u64, utf8 } from '../core/bytes.ts'
import type { CryptoProvider, MacKey } from '../crypto/provider.ts'
import type { AuditEvent, AuditOutcome } from './audit.ts'

/** `label || 0x00`, as every hash of ours begins. */
const CHAIN = utf8('sealwire/audit/v1\0')
const HEAD = 'sealwire/audit/v1/head'
const MAX_TEXT = 256
const HASH_BYTES = 32

/** `prev_hash` of the first row of a tenant: 32 zero bytes. */
export const GENESIS_HASH: Bytes = new Uint8Array(HASH_BYTES)

/** A row as `row_bytes` holds it: these members, in this order, every one present. */
export interface AuditRow {
  id: string
  tenant_id: string
  /** 1, 2, 3 … per tenant. */
  seq: number
  /** RFC 3339 with microseconds, UTC. */
  at: string
  action: string
  outcome: AuditOutcome
  actor: { id: string; address: string | null; user_agent: string | null }
  object: { kind: string; id: string } | null
  request_id: string | null
  message_id: string | null
  detail: Record<string, string | number | boolean | null>
}

/** Most text of most rows: kept as it is. */
const PLAIN = /^[ -~]*$/
/** Controls, line and paragraph separators, and what turns the direction of text: harmless in JSON, not in a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/**
 * Makes text of a caller fit to be kept: at most 256 characters (UTF-16 units), the last one `…` where something was cut,
 * U+FFFD for what cannot be printed or is not Unicode.
 */
export function boundedText(text: string): string {
  if (text.length <= MAX_TEXT && PLAIN.test(text)) return text
  const head = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1).replace(/[\ud800-\udbff]$/, '')}…` : text
  return head.toWellFormed().replace(UNPRINTABLE, '\ufffd')
}

const bounded = (text: string | undefined): string | null => (text === undefined ? null : boundedText(text))

/** Microseconds since 1970; the clock gives milliseconds, with fractions where it has them. */
export function epochMicroseconds(atMs: number): number {
  const fraction = atMs % 1000
  return (atMs - fraction) * 1000 + Math.floor(fraction * 1000)
}

/** The last second that was written out: the rows of a flush share it. */
let second = { atMs: Number.NaN, text: '' }

/** RFC 3339, UTC, microseconds. */
export function formatMicroseconds(atMs: number): string {
  const fraction = atMs % 1000
  const secondMs = atMs - fraction
  if (second.atMs !== secondMs) second = { atMs: secondMs, text: new Date(secondMs).toISOString().slice(0, 20) }
  return `${second.text}${String(Math.floor(fraction * 1000)).padStart(6, '0')}Z`
}

/** Texts that are made here, and bounded by who makes them: run lengths of 1,000 items are 3,000 characters at most. */
const OURS: ReadonlySet<string> = new Set(['item_outcomes'])

/** Bounds the texts of a detail; the detail itself where all of them fit. */
function boundedDetail(detail: AuditRow['detail']): AuditRow['detail'] {
  let bounded = detail
  for (const name of Object.keys(detail)) {
    const value = detail[name]
    if (typeof value !== 'string' || OURS.has(name)) continue
    const text = boundedText(value)
    if (text === value) continue
    if (bounded === detail) bounded = { ...detail }
    bounded[name] = text
  }
  return bounded
}

/** Makes the row of an event; every text in it is bounded. */
export function rowOf(event: AuditEvent, place: { id: string; seq: number; atMs: number }): AuditRow {
  const { actor, object, detail } = event
  return {
    id: place.id,
    tenant_id: event.tenantId,
    seq: place.seq,
    at: formatMicroseconds(place.atMs),
    action: event.action,
    outcome: event.outcome,
    actor: { id: boundedText(actor.id), address: bounded(actor.address), user_agent: bounded(actor.userAgent) },
    object: object ? { kind: boundedText(object.kind), id: boundedText(object.id) } : null,
    request_id: bounded(event.requestId),
    message_id: bounded(event.messageId),
    detail: detail ? boundedDetail(detail) : {},
  }
}

/** `row_bytes`: the JSON text of the row, UTF-8. */
export function encodeRow(row: AuditRow): Uint8Array {
  return Buffer.from(JSON.stringify(row))
}

/** SHA3-256 (32 bytes) over tenant, place, `prevHash` (32 bytes) and the bytes of the row. */
export function rowHash(
  provider: Pick<CryptoProvider, 'sha3_256'>,
  tenantId: string,
  seq: number,
  prevHash: Uint8Array,
  rowBytes: Uint8Array,
): Bytes {
  if (prevHash.length !== HASH_BYTES) throw new RangeError('prev_hash must be 32 bytes')
  if (!Number.isSafeInteger(seq)) throw new RangeError('seq must be an integer')
  const tenantBytes = Buffer.byteLength(tenantId)
  const input = Buffer.allocUnsafe(CHAIN.length + 4 + tenantBytes + 8 + HASH_BYTES + 4 + rowBytes.length)
  input.set(CHAIN)
  let end = input.writeUInt32BE(tenantBytes, CHAIN.length)
  end += input.write(tenantId, end)
  end = input.writeUInt32BE(Math.floor(seq / 2 ** 32), end)
  end = input.writeUInt32BE(seq % 2 ** 32, end)
  input.set(prevHash, end)
  end = input.writeUInt32BE(rowBytes.length, end + HASH_BYTES)
  input.set(rowBytes, end)
  return provider.sha3_256(input)
}

/** HMAC-SHA-512 (64 bytes) over a tenant's last place and hash. */
export function headMac(key: MacKey, tenantId: string, seq: number, hash: Uint8Array): Bytes {
  return key.mac(labelled(HEAD, lengthPrefixed(tenantId), u64(seq), hash))
}
