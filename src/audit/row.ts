import { type Bytes, labelled, lengthPrefixed, u64, utf8 } from '../core/bytes.ts'
import type { CryptoProvider, MacKey } from '../crypto/provider.ts'
import type { AuditEvent, AuditOutcome } from './audit.ts'

const CHAIN = 'sealwire/audit/v1'
const HEAD = 'sealwire/audit/v1/head'
const MAX_TEXT = 256

/** `prev_hash` of the first row of a tenant: 32 zero bytes. */
export const GENESIS_HASH: Bytes = new Uint8Array(32)

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

/** Controls, line and paragraph separators, and what turns the direction of text: harmless in JSON, not in a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/**
 * Makes text of a caller fit to be kept: at most 256 characters (UTF-16 units), the last one `…` where something was cut,
 * U+FFFD for what cannot be printed or is not Unicode.
 */
export function boundedText(text: string): string {
  const head = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1).replace(/[\ud800-\udbff]$/, '')}…` : text
  return head.toWellFormed().replace(UNPRINTABLE, '\ufffd')
}

const bounded = (text: string | undefined): string | null => (text === undefined ? null : boundedText(text))

/** RFC 3339, UTC, microseconds; the clock gives milliseconds, with fractions where it has them. */
export function formatMicroseconds(atMs: number): string {
  const micros = Math.floor((atMs % 1000) * 1000)
  return `${new Date(atMs).toISOString().slice(0, 20)}${String(micros).padStart(6, '0')}Z`
}

/** Makes the row of an event; every text in it is bounded. */
export function rowOf(event: AuditEvent, place: { id: string; seq: number; atMs: number }): AuditRow {
  const detail = Object.entries(event.detail ?? {}).map(([name, value]) => [
    name,
    typeof value === 'string' ? boundedText(value) : value,
  ])
  return {
    id: place.id,
    tenant_id: event.tenantId,
    seq: place.seq,
    at: formatMicroseconds(place.atMs),
    action: event.action,
    outcome: event.outcome,
    actor: {
      id: boundedText(event.actor.id),
      address: bounded(event.actor.address),
      user_agent: bounded(event.actor.userAgent),
    },
    object: event.object ? { kind: boundedText(event.object.kind), id: boundedText(event.object.id) } : null,
    request_id: bounded(event.requestId),
    message_id: bounded(event.messageId),
    detail: Object.fromEntries(detail) as AuditRow['detail'],
  }
}

/** `row_bytes`: the JSON text of the row, UTF-8. */
export function encodeRow(row: AuditRow): Bytes {
  return utf8(JSON.stringify(row))
}

/** SHA3-256 (32 bytes) over tenant, place, `prevHash` (32 bytes) and the bytes of the row. */
export function rowHash(
  provider: Pick<CryptoProvider, 'sha3_256'>,
  tenantId: string,
  seq: number,
  prevHash: Uint8Array,
  rowBytes: Uint8Array,
): Bytes {
  if (prevHash.length !== 32) throw new RangeError('prev_hash must be 32 bytes')
  return provider.sha3_256(labelled(CHAIN, lengthPrefixed(tenantId), u64(seq), prevHash, lengthPrefixed(rowBytes)))
}

/** HMAC-SHA-512 (64 bytes) over a tenant's last place and hash. */
export function headMac(key: MacKey, tenantId: string, seq: number, hash: Uint8Array): Bytes {
  return key.mac(labelled(HEAD, lengthPrefixed(tenantId), u64(seq), hash))
}
