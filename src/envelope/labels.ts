import { type Bytes, utf8 } from '../core/bytes.ts'

/** The label of envelope version 2: begins its HKDF info and transcript, and is the ML-DSA context of its roots. */
export const ENVELOPE_LABEL = 'sealwire/envelope/v2'
/** Begins the message that the issuer key signs. */
export const ROOT_LABEL = 'sealwire/envelope/v2/root'
/** Begins the hash that ties an answer to its request. */
export const REQUEST_LABEL = 'sealwire/request/v2'
/** Begins the proof that a new recipient can open. */
export const ENROLMENT_LABEL = 'sealwire/enrolment/v2'
/** Begins what the root key signs, and is its ML-DSA context. */
export const KEYS_LABEL = 'sealwire/keys/v1'
/** Sets signatures over callers' data apart from everything else: begins what their HMAC covers, and is their ML-DSA context. */
export const SIGN_LABEL = 'sealwire/sign/v1'

export const ENVELOPE_CONTEXT: Bytes = utf8(ENVELOPE_LABEL)
export const KEYS_CONTEXT: Bytes = utf8(KEYS_LABEL)
/** The message is the caller's bytes as they are (FIPS 204 §5.2, pure). */
export const SIGN_CONTEXT: Bytes = utf8(SIGN_LABEL)

/** HKDF info of version 1, fixed by the published format; the only label without a 0x00. */
export const VERSION_1_INFO: Bytes = utf8('quantaseal-aes-key')
/** ML-DSA context of version 1. */
export const VERSION_1_CONTEXT: Bytes = new Uint8Array()
