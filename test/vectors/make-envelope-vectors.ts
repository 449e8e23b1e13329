import { toBase64Url } from '#src/core/base64.ts'
import type { Bytes } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import { bytesNamed, labelled, lengthPrefixed, macOf, sha384Of } from './deterministic.ts'
import { assemble, inHex, issuer, NOW_S, sealSteps, signRoot } from './envelope-steps.ts'
import { mlKem, type VectorKem, xWing, xWingExpandedSeed } from './vector-kems.ts'

function makeRequest({ prefix }: VectorKem) {
  const nonce = bytesNamed(`${prefix}request nonce`, 32)
  const [method, target, body] = ['POST', '/api/v2/proxy/outbound?dry=0&x=%2F', '{"operation":"publish"}']
  const message = labelled('sealwire/request/v2', ...[nonce, method, target, body].map(lengthPrefixed))
  return { nonce, method, target, body, message, rqh: toBase64Url(sha384Of(message)) }
}

function makeEnrolment({ recipient }: VectorKem) {
  const parts = [recipient.recipient_id, recipient.ek].map(lengthPrefixed)
  const message = labelled('sealwire/enrolment/v2', ...parts)
  return { message, proof: macOf(recipient.mac_key, message) }
}

/** Root and inclusion proof from the top, as RFC 9162 §2.1.1 and §2.1.3.1 define them. */
function splitOf(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}
function rootOf(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 1) return leaves[0] as Bytes
  const split = splitOf(leaves.length)
  return sha384Of(new Uint8Array([1]), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)))
}
function pathOf(index: number, leaves: readonly Bytes[]): Bytes[] {
  if (leaves.length === 1) return []
  const split = splitOf(leaves.length)
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)]
  return index < split ? [...pathOf(index, left), rootOf(right)] : [...pathOf(index - split, right), rootOf(left)]
}

/** What differs between the envelopes of one batch: every kind, and the ends of the ranges. */
const variants: { claims: Partial<ProtectedHeader>; text: string }[] = [
  { claims: { sub: 'int_01kad3m5e0000000000000000g' }, text: '{"success":true,"data":{},"error":null}' },
  { claims: { op: 'stream.event', sub: 'int_01kad3m5e0000000000000000g', st: null, seq: 1 }, text: '{"type":"open"}' },
  { claims: { op: 'webhook.delivery', sub: 'sub_01kad3m5e0000000000000000h', st: null }, text: '{"messages":[]}' },
  {
    claims: { op: 'stored.message', sub: 'sub_1', st: null, seq: 2 ** 53 - 1, exp: NOW_S + 90 * 86_400 },
    text: '{"message":"22.5"}',
  },
  { claims: { op: 'stored.object', st: null, exp: null }, text: '{"encryption_context":{},"data":""}' },
  { claims: { op: 'vault.list', st: 599, exp: NOW_S + 1 }, text: '' },
  { claims: { rid: 'r', st: 100 }, text: 'ü€😀'.repeat(10) },
]

function makeBatch(kem: VectorKem, size: number, rqh: string) {
  const sealed = variants.slice(0, size).map(({ claims, text }, i) => {
    const bound = i === 0 ? { ...claims, rqh } : claims
    return sealSteps(kem, `${kem.prefix}tree ${size} leaf ${i}`, bound, text)
  })
  const leaves = sealed.map(({ leaf }) => leaf)
  const root = rootOf(leaves)
  const { message, signature } = signRoot(size, root)
  const envelopes = sealed.map((steps, index) => {
    const hashes = pathOf(index, leaves)
    const envelope = assemble(kem, steps, signature, { index, size, hashes })
    return {
      ...inHex({ ...steps, header: new TextDecoder().decode(steps.header) }),
      hashes: hashes.map(toHex),
      envelope,
    }
  })
  return { ...inHex({ tree_size: size, root, root_message: message, pqc_signature: signature }), envelopes }
}

/** Makes the vectors of version 2 for one suite: tree sizes 1, 2 and 7, every kind of envelope, every intermediate value. */
function makeSuiteVectors(kem: VectorKem, about: string, extra: object = {}) {
  const request = makeRequest(kem)
  return {
    about,
    recipient: inHex(kem.recipient),
    ...extra,
    issuer: inHex(issuer),
    request: inHex(request),
    enrolment: inHex(makeEnrolment(kem)),
    batches: [1, 2, 7].map((size) => makeBatch(kem, size, request.rqh)),
  }
}

const NOTATION = 'Byte strings in hexadecimal; headers and envelopes as they are.'

export const makeEnvelopeVectors = () => makeSuiteVectors(mlKem, `HybridCryptoEnvelope version 2. ${NOTATION}`)

export const makeXWingEnvelopeVectors = () =>
  makeSuiteVectors(xWing, `HybridCryptoEnvelope version 2, suite X-Wing. ${NOTATION}`, {
    expanded_seed: toHex(xWingExpandedSeed),
  })

export type EnvelopeVectors = ReturnType<typeof makeEnvelopeVectors>
