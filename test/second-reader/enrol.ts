import { createHash, createHmac } from 'node:crypto'
import { bytesOf, labelled, lengthPrefixed, type Members, must, objectWith, text } from './decode.ts'
import type { Decapsulator } from './kem.ts'
import { decrypt, findIssuer, judge, parse, type Reader, verifyTree } from './open-version-2.ts'
import { type Issuer, isMacOf } from './signatures.ts'

export interface Sent {
  readonly nonce: Buffer
  readonly method: string
  /** From the first `/api/v2/` on. */
  readonly target: string
  readonly body: string
}

/** Section 5 of the page. */
export function requestHash({ nonce, method, target, body }: Sent): string {
  const message = labelled('sealwire/request/v2', ...[nonce, method, target, body].map(lengthPrefixed))
  return createHash('sha384').update(message).digest('base64url')
}

/** Section 10 of the page: opens the answer to an enrolment, the one whose MAC key is inside. */
export function openEnrolment(
  value: unknown,
  own: { suite: string; decapsulator: Decapsulator },
  issuers: ReadonlyMap<string, Issuer>,
  expected: { rqh: string; now: number },
): Reader {
  const it = parse(value)
  const { header } = it
  must(header.suite === own.suite)
  const issuer = findIssuer(it, issuers)
  const { transcript, isSigned } = verifyTree(it, issuer)
  must(isSigned)
  judge(header, issuer, { op: 'recipients.enroll', ...expected }, true)
  const answer = JSON.parse(decrypt(it, own.decapsulator).toString()) as Members
  must(answer['success'] === true)
  const data = objectWith(answer['data'], 'recipient_id kem_key_id mac_key_id mac_key')
  must(data['recipient_id'] === header.aud && data['kem_key_id'] === header.kem && data['mac_key_id'] === header.mac)
  const macKey = bytesOf(text(data['mac_key']), 'base64', 64)
  must(isMacOf(macKey, transcript, it.hmac))
  return { ...own, tid: header.tid, aud: header.aud, kem: header.kem, mac: header.mac, macKey }
}

/** The proof of step two of an enrolment, base64. */
export function enrolmentProof({ macKey, aud, decapsulator }: Reader): string {
  const message = labelled('sealwire/enrolment/v2', lengthPrefixed(aud), lengthPrefixed(decapsulator.ek))
  return createHmac('sha512', macKey).update(message).digest('base64')
}
