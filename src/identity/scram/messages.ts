import { fromBase64, toBase64 } from '../../core/base64.ts'
import { type Bytes, decodeUtf8, utf8 } from '../../core/bytes.ts'
import { saslPrep } from './saslprep.ts'

/** Bytes of a message from a client; the longest honest one has a name of some hundred bytes. */
export const MAX_SCRAM_MESSAGE_BYTES = 2_048
const MAX_NONCE = 256

/** `printable` of RFC 5802 §7: ASCII from 0x21 on, without the comma. */
const NONCE = /^[\x21-\x2b\x2d-\x7e]+$/
/** `attr-val`: a letter, `=`, and text without NUL and comma; `m` is kept for what must be understood (RFC 5802 §5.1). */
const EXTENSION = /^[A-Za-ln-z]=[^\0,]+$/

export interface ClientFirst {
  /** `n,,`: repeated in the last message, in base64. */
  readonly gs2Header: string
  /** The message behind the header, as it was sent. */
  readonly bare: string
  /** Decoded and prepared (RFC 4013): what a user is looked up by. */
  readonly username: string
  readonly nonce: string
}

export interface ClientFinal {
  readonly channelBinding: string
  readonly nonce: string
  /** The message before `,p=`, as it was sent. */
  readonly withoutProof: string
  readonly proof: Bytes
}

/** A message that is none, or asks for what this server does not do: a reason for the log. */
export interface BadMessage {
  readonly problem: string
}

const bad = (problem: string): BadMessage => ({ problem })

function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_SCRAM_MESSAGE_BYTES) return undefined
  try {
    return decodeUtf8(bytes)
  } catch {
    return undefined // not UTF-8
  }
}

/** Decodes `saslname`: `=2C` is a comma and `=3D` an equals sign; any other use of `=` is an error (RFC 5802 §5.1). */
function decodeName(encoded: string): string | undefined {
  if (/=(?!2C|3D)/.test(encoded) || encoded.includes('\0')) return undefined
  return saslPrep(encoded.replaceAll('=2C', ',').replaceAll('=3D', '='), 'query')
}

/** Parses `n,[a=authzid],n=user,r=nonce[,extensions]` (RFC 5802 §7 `client-first-message`). */
export function parseClientFirst(bytes: Uint8Array): ClientFirst | BadMessage {
  const text = textOf(bytes)
  if (text === undefined) return bad('not UTF-8, or too long')
  const [flag = '', authzid = '', ...rest] = text.split(',')
  if (flag.startsWith('p=')) return bad('channel binding is asked for, and there is none')
  if (flag !== 'n' && flag !== 'y') return bad('the flag of channel binding is not n, y or p')
  if (rest[0]?.startsWith('m=')) return bad('a mandatory extension')
  const [name = '', nonce = '', ...extensions] = rest
  if (!name.startsWith('n=') || !nonce.startsWith('r=')) return bad('no username or no nonce in its place')
  const username = decodeName(name.slice(2))
  if (username === undefined) return bad('the username is not one')
  // Who acts for somebody else is not a thing here: naming oneself is all that may stand there.
  if (authzid !== '' && !(authzid.startsWith('a=') && decodeName(authzid.slice(2)) === username))
    return bad('another authorisation identity')
  const value = nonce.slice(2)
  if (value.length > MAX_NONCE || !NONCE.test(value)) return bad('the nonce is not printable, or too long')
  if (!extensions.every((one) => EXTENSION.test(one))) return bad('an extension is malformed, or mandatory')
  const gs2Header = `${flag},${authzid},`
  return { gs2Header, bare: text.slice(gs2Header.length), username, nonce: value }
}

/** Parses `c=binding,r=nonce[,extensions],p=proof` (RFC 5802 §7 `client-final-message`). */
export function parseClientFinal(bytes: Uint8Array): ClientFinal | BadMessage {
  const text = textOf(bytes)
  if (text === undefined) return bad('not UTF-8, or too long')
  const [binding = '', nonce = '', ...rest] = text.split(',')
  const proof = rest.pop() ?? ''
  if (!binding.startsWith('c=') || !nonce.startsWith('r=') || !proof.startsWith('p='))
    return bad('no channel binding, nonce or proof in its place')
  if (!rest.every((one) => EXTENSION.test(one))) return bad('an extension is malformed, or mandatory')
  const decoded = fromBase64(proof.slice(2))
  if (!decoded) return bad('the proof is not base64')
  const withoutProof = text.slice(0, text.length - proof.length - 1)
  return { channelBinding: binding.slice(2), nonce: nonce.slice(2), withoutProof, proof: decoded }
}

/** What `c=` must say: the header of the first message, without binding data. */
export const channelBindingOf = (gs2Header: string): string => toBase64(utf8(gs2Header))
