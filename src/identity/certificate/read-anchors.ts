import { authorityProblem } from './judge-chain.ts'
import { type Certificate, parseCertificate } from './parse-certificate.ts'
import { strongKeyOf } from './strength.ts'

export const MAX_CA_FILE_BYTES = 1_048_576
const MAX_ANCHORS = 100

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----/g

export type Anchors = { readonly certificates: readonly Certificate[] } | { readonly problem: string }

/**
 * Reads the certificates of CAs from PEM (RFC 7468), text between them allowed. All of them must be CAs that may issue
 * certificates for clients, with a strong key; one that is not makes the whole unusable, because leaving it out would go
 * unnoticed.
 */
export function readAnchors(pem: string): Anchors {
  const blocks = [...pem.matchAll(BLOCK)]
  if (blocks.length !== pem.split('-----BEGIN ').length - 1) return { problem: 'holds PEM that does not end' }
  const certificates: Certificate[] = []
  for (const [i, [, label, base64 = '']] of blocks.entries()) {
    const which = `certificate ${i + 1}`
    if (label !== 'CERTIFICATE')
      return { problem: `holds a ${label?.toLowerCase()}, and only certificates belong there` }
    const certificate = parseCertificate(Buffer.from(base64, 'base64'))
    if (!certificate) return { problem: `${which} is no certificate of X.509 version 3` }
    const problem = authorityProblem(certificate, 0) ?? (strongKeyOf(certificate) ? undefined : 'a weak key')
    if (problem !== undefined) return { problem: `${which} cannot be trusted: ${problem}` }
    certificates.push(certificate)
  }
  if (certificates.length === 0) return { problem: 'holds no certificate' }
  return certificates.length > MAX_ANCHORS
    ? { problem: `holds more than ${MAX_ANCHORS} certificates` }
    : { certificates }
}
