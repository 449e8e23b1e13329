import { fromBase64Url, toBase64Url } from '../core/base64.ts'
import { type Bytes, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { isId } from '../core/ids.ts'
import { Secret } from '../core/secret.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import { sizes } from '../crypto/sizes.ts'
import { findSuite } from '../envelope/suites.ts'
import { parseBaseUrl } from './base-url.ts'
import type { Recipient } from './recipient.ts'
import { SealwireError } from './sealwire-error.ts'
import { isRecord } from './wrapper.ts'

const VERSION = 1
const MAX_FILE_BYTES = 16_384
const MEMBERS = [
  'version',
  'suite',
  'base_url',
  'tenant_id',
  'recipient_id',
  'kem_key_id',
  'kem_seed',
  'mac_key_id',
  'mac_key',
  'root',
] as const

/** Names the member and the rule, never a value: the file holds secrets. */
function refuse(what: string): never {
  throw new SealwireError('request.invalid', `Recipient file: ${what}.`, { outcome: 'rejected' })
}

function parseJson(text: string): unknown {
  try {
    return parseStrictJson(text)
  } catch (err) {
    if (err instanceof AppError) refuse('not JSON, or a member occurs twice')
    throw err
  }
}

function readMembers(text: string): Record<(typeof MEMBERS)[number], string> {
  if (utf8(text).length > MAX_FILE_BYTES) refuse('over 16 KiB')
  const json = parseJson(text)
  if (!isRecord(json)) refuse('not an object')
  if (json['version'] !== VERSION) refuse(`"version" is not ${VERSION}`)
  for (const name of Object.keys(json)) if (!MEMBERS.some((member) => member === name)) refuse('an unknown member')
  for (const name of MEMBERS) {
    if (name !== 'version' && typeof json[name] !== 'string') refuse(`"${name}" is not a string`)
  }
  return json as Record<(typeof MEMBERS)[number], string>
}

function bytesOf(name: string, text: string, length: number): Bytes {
  const bytes = fromBase64Url(text)
  return bytes?.length === length ? bytes : refuse(`"${name}" is not base64url of ${length} bytes`)
}

/**
 * Reads the file that `serialiseRecipient` and `sealwire recipients enroll --out FILE` write. Every member is required,
 * no other is accepted.
 *
 * @throws {SealwireError} `request.invalid`; the message holds no value of the file
 */
export function parseRecipient(text: string): Recipient {
  const file = readMembers(text)
  const suite = findSuite(file.suite) ?? refuse('"suite" is not one this SDK knows')
  if (!isId('ten', file.tenant_id)) refuse('"tenant_id" is not a tenant id')
  if (!isId('rcp', file.recipient_id)) refuse('"recipient_id" is not a recipient id')
  if (!isId('kem', file.kem_key_id)) refuse('"kem_key_id" is not the id of a KEM key')
  if (!isId('mac', file.mac_key_id)) refuse('"mac_key_id" is not the id of a MAC key')
  bytesOf('root', file.root, sizes.sha384)
  return {
    suite: file.suite,
    baseUrl: parseBaseUrl(file.base_url),
    tenantId: file.tenant_id,
    recipientId: file.recipient_id,
    kemKeyId: file.kem_key_id,
    kemSeed: new Secret(bytesOf('kem_seed', file.kem_seed, suite.seedBytes)),
    macKeyId: file.mac_key_id,
    macKey: new Secret(bytesOf('mac_key', file.mac_key, sizes.macKey)),
    root: file.root,
  }
}

/** Writes a recipient as the text of its file. It holds both secrets: keep it at mode 0600. The API key is not in it. */
export function serialiseRecipient(recipient: Recipient): string {
  const file = {
    version: VERSION,
    suite: recipient.suite,
    base_url: recipient.baseUrl,
    tenant_id: recipient.tenantId,
    recipient_id: recipient.recipientId,
    kem_key_id: recipient.kemKeyId,
    kem_seed: toBase64Url(recipient.kemSeed.reveal()),
    mac_key_id: recipient.macKeyId,
    mac_key: toBase64Url(recipient.macKey.reveal()),
    root: recipient.root,
  } satisfies Record<(typeof MEMBERS)[number], unknown>
  return `${JSON.stringify(file, null, 2)}\n`
}
