import { toBase64Url } from '../core/base64.ts'
import { type Bytes, decodeUtf8 } from '../core/bytes.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { HybridCryptoEnvelope } from '../envelope/envelope.ts'
import type { ProtectedHeader } from '../envelope/header.ts'
import { openEnvelope } from '../envelope/open.ts'
import { apiTarget, NONCE_BYTES, requestHash } from '../envelope/request-hash.ts'
import type { Call, CallOptions, Connection } from './connection.ts'
import { type Exchanged, encodeBody } from './exchange.ts'
import type { IssuerKeys } from './issuer-keys.ts'
import { addresseeHint, type Readers } from './readers.ts'
import { SealwireError, toSealwireError, UnprotectedError } from './sealwire-error.ts'
import { type Answer, isRecord, outcomeOf, parseAnswer } from './wrapper.ts'

/** Anybody can write a bare answer; more than this of one is in no error. */
const MAX_CLAIM_LENGTH = 300

/** A client that can open what is sealed to it. */
export interface Reader {
  provider: CryptoProvider
  readers: Readers
  issuers: IssuerKeys
}

export interface Opened<T> {
  result: T
  /** The answer as it came, for the archive: `encryption.verifyOrigin` judges it again at any time. */
  envelope: HybridCryptoEnvelope
}

/**
 * Takes the envelope out of an answer. Its form is judged when it is opened.
 *
 * @throws {UnprotectedError} when there is none, whatever the status
 */
function envelopeOf({ httpStatus, retryAfterS, json }: Exchanged): unknown {
  const envelope = isRecord(json) ? json['data'] : undefined
  if (isRecord(envelope) && 'protected' in envelope) return envelope
  const answer = parseAnswer(json)
  const said = answer?.success === false ? answer : undefined
  const shorten = (text: string | undefined) => text?.slice(0, MAX_CLAIM_LENGTH)
  throw new UnprotectedError({ httpStatus, code: shorten(said?.code), message: shorten(said?.message) }, retryAfterS)
}

/** Adds, to an envelope that was refused, for whom it claims to be. */
export function explainAddressee(err: unknown, envelope: unknown, readers: Readers): SealwireError {
  const error = toSealwireError(err, 'unknown')
  return error.code === 'envelope.rejected' ? error.withHint(addresseeHint(envelope, readers.current)) : error
}

/** Reads the plaintext of an answer whose envelope was opened. */
export function parsePlaintext(plaintext: Bytes): Answer {
  return answerOf(parseStrictJson(decodeUtf8(plaintext)))
}

/** Takes `{success, data, error}` that was sealed. */
export function answerOf(json: unknown): Answer {
  const answer = parseAnswer(json)
  if (answer) return answer
  throw new SealwireError('answer.invalid', 'The envelope holds no answer of this API.', { outcome: 'unknown' })
}

/** Status and request id come from the signed header, the rest from the plaintext; only the wait is a hint from outside. */
function resultOf(answer: Answer, header: ProtectedHeader, retryAfterS: number | undefined): unknown {
  if (answer.success) return answer.data
  const { code, message, details } = answer
  const status = header.st ?? 0
  const outcome = outcomeOf(status, code)
  throw new SealwireError(code, message, { status, outcome, details, requestId: header.rid, retryAfterS })
}

/**
 * Makes a call whose answer is sealed, and believes nothing but the envelope that answers this very attempt: each attempt
 * has a nonce of its own, all have one `Idempotency-Key` where the operation takes one.
 *
 * @throws {SealwireError} the refusal in the envelope; `unprotected`; `envelope.*` for an envelope that does not verify, or
 * verifies and answers something else
 */
export async function sealedCall(
  connection: Connection,
  { provider, readers, issuers }: Reader,
  call: Call & { operation: string; idempotencyKey?: string },
  options: CallOptions | undefined,
): Promise<Opened<unknown>> {
  const body = call.body === undefined ? undefined : encodeBody(call.body)
  const target = apiTarget(call.path)
  return connection.repeat({ ...call, idempotent: call.idempotencyKey !== undefined }, options, async (signal) => {
    const keys = await issuers.load(signal)
    const nonce = provider.randomBytes(NONCE_BYTES)
    const rqh = requestHash(provider, { nonce, method: call.method, target, body: body ?? new Uint8Array() })
    const headers = {
      ...call.headers,
      'Envelope-Nonce': toBase64Url(nonce),
      ...(call.idempotencyKey !== undefined && { 'Idempotency-Key': call.idempotencyKey }),
    }
    const answer = await connection.send({ ...call, headers }, body, signal)
    const envelope = envelopeOf(answer)
    const expected = { op: call.operation, rqh, nowS: Math.floor(connection.clock.now() / 1000) }
    const opened = await issuers
      .judge(keys, signal, (issuerKeys) =>
        openEnvelope(provider, envelope, readers.readerFor(envelope), issuerKeys, expected),
      )
      .catch((err: unknown) => {
        throw explainAddressee(err, envelope, readers)
      })
    const result = resultOf(parsePlaintext(opened.plaintext), opened.header, answer.retryAfterS)
    return { result, envelope: envelope as HybridCryptoEnvelope }
  })
}
