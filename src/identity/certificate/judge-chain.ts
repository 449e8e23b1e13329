import type { RefusalReason } from '../provider.ts'
import type { Certificate } from './parse-certificate.ts'
import { isStronglySigned, strongKeyOf } from './strength.ts'

/** Certificates from a client's to one that is trusted, both included. */
const MAX_PATH = 8
/** Signatures that are checked for one client, in whatever order its certificates may be tried. */
const MAX_SIGNATURES = 16

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
const DIGITAL_SIGNATURE = 0
const KEY_CERT_SIGN = 5

export type ChainVerdict =
  | {
      readonly outcome: 'trusted'
      readonly leaf: Certificate
      /** The trusted certificate that vouches for it in the end. */
      readonly anchor: Certificate
      /** Unix milliseconds: when the first certificate between the two ends. */
      readonly expiresAt: number
    }
  /** It names no issuer that leads to a trusted one: somebody else may know it. */
  | { readonly outcome: 'foreign' }
  | { readonly outcome: 'refused'; readonly reason: RefusalReason; readonly problem: string }

interface Search {
  readonly presented: readonly Certificate[]
  readonly anchors: readonly Certificate[]
  readonly now: number
  signatures: number
  /** The first reason that a path was given up for although its signatures were good. */
  outdated: Extract<RefusalReason, 'certificate-expired' | 'certificate-not-yet-valid'> | undefined
  problem: string
}

const sameName = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const mayServe = ({ extendedKeyUsage }: Certificate): boolean => extendedKeyUsage?.includes(CLIENT_AUTH) ?? true

/** Why a certificate may not issue one below which there are so many intermediates; `undefined` when it may. */
export function authorityProblem(authority: Certificate, intermediates: number): string | undefined {
  if (!authority.isCa) return 'an issuer that is no CA'
  if (authority.keyUsage && !authority.keyUsage(KEY_CERT_SIGN)) return 'an issuer whose key may not sign certificates'
  if (authority.pathLength !== undefined && intermediates > authority.pathLength)
    return 'more intermediates than a CA allows below it'
  if (!mayServe(authority)) return 'an issuer that is not for client certificates'
  return authority.obstacle
}

function leafProblem(leaf: Certificate): string | undefined {
  if (leaf.obstacle !== undefined) return leaf.obstacle
  if (leaf.isCa) return 'the certificate of a CA in place of a client'
  if (leaf.keyUsage && !leaf.keyUsage(DIGITAL_SIGNATURE)) return 'a key that may not sign'
  if (!mayServe(leaf)) return 'an extended key usage without clientAuth'
  return strongKeyOf(leaf) ? undefined : 'a weak key'
}

function outdatedReason({ notBefore, notAfter }: Certificate, now: number): Search['outdated'] {
  if (now < notBefore) return 'certificate-not-yet-valid'
  return now > notAfter ? 'certificate-expired' : undefined
}

function isSignedBy(subject: Certificate, authority: Certificate, search: Search): boolean {
  const key = isStronglySigned(subject) ? strongKeyOf(authority) : undefined
  if (!key) {
    search.problem = 'a weak signature or a weak key of an issuer'
    return false
  }
  if (search.signatures === MAX_SIGNATURES) {
    search.problem = 'too many certificates to try'
    return false
  }
  search.signatures++
  if (subject.x509.verify(key)) return true
  search.problem = 'a signature that does not verify'
  return false
}

/** Adds to a path, which ends in what nobody has vouched for yet. */
function extend(path: readonly Certificate[], search: Search): readonly Certificate[] | undefined {
  const last = path.at(-1)
  if (!last || path.length === MAX_PATH) return undefined
  // A CA that issued a certificate for itself is no level of its own (RFC 5280 §4.2.1.9).
  const intermediates = path.slice(1).filter(({ subject, issuer }) => !sameName(subject, issuer)).length
  for (const authority of [...search.anchors, ...search.presented]) {
    if (!sameName(authority.subject, last.issuer)) continue
    const isAnchor = search.anchors.includes(authority)
    if (path.some(({ fingerprint }) => fingerprint === authority.fingerprint)) continue
    const problem = authorityProblem(authority, intermediates)
    if (problem !== undefined) search.problem = problem
    if (problem !== undefined || !isSignedBy(last, authority, search)) continue
    const longer = [...path, authority]
    const whole = isAnchor ? longer : extend(longer, search)
    if (!whole) continue
    const reason = whole.map((one) => outdatedReason(one, search.now)).find((one) => one !== undefined)
    if (reason === undefined) return whole
    search.outdated ??= reason
  }
  return undefined
}

/** Whether the names of issuers lead to a trusted certificate, were all the rest of it good. */
function namesAnchor(leaf: Certificate, { presented, anchors }: Search): boolean {
  const reached = [leaf]
  for (const { issuer } of reached) {
    if (anchors.some(({ subject }) => sameName(subject, issuer))) return true
    reached.push(...presented.filter((one) => sameName(one.subject, issuer) && !reached.includes(one)))
  }
  return false
}

/**
 * Judges the certificates that a client presented, its own first and the others in any order (RFC 8446 §4.4.2), against the
 * trusted ones: RFC 5280 §6.1 without policies, and without name constraints, which refuse. Every certificate of the path, the
 * trusted one included, is held to its validity, strength and usage. That the client has the key must have been shown before,
 * by TLS.
 *
 * @param now Unix milliseconds
 */
export function judgeChain(
  [leaf, ...presented]: readonly Certificate[],
  anchors: readonly Certificate[],
  now: number,
): ChainVerdict {
  if (!leaf) return { outcome: 'foreign' }
  const search: Search = {
    presented,
    anchors,
    now,
    signatures: 0,
    outdated: undefined,
    problem: 'no path to an issuer that is trusted',
  }
  if (!namesAnchor(leaf, search)) return { outcome: 'foreign' }
  const path = extend([leaf], search)
  const anchor = path?.at(-1)
  if (path && anchor) {
    const problem = leafProblem(leaf)
    if (problem !== undefined) return { outcome: 'refused', reason: 'certificate-untrusted', problem }
    return { outcome: 'trusted', leaf, anchor, expiresAt: Math.min(...path.map(({ notAfter }) => notAfter)) }
  }
  if (search.outdated) return { outcome: 'refused', reason: search.outdated, problem: 'outside its validity' }
  return { outcome: 'refused', reason: 'certificate-untrusted', problem: search.problem }
}
