import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** A request as it arrived; header names in lower case. */
export interface SignedRequest {
  method: string
  /** Path and query as on the request line. */
  target: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: Buffer
}

export interface SigningIdentity {
  accessKeyId: string
  secretAccessKey: string
  region: string
  service: string
}

const AUTHORIZATION = /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/
const MUST_BE_SIGNED = ['host', 'x-amz-date', 'x-amz-target']
const SKEW_MS = 5 * 60_000

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest()

/** RFC 3986 with nothing but the unreserved characters left as they are. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function canonicalQuery(query: string): string {
  const pairs = [...new URLSearchParams(query)].map(([name, value]) => `${encode(name)}=${encode(value)}`)
  return pairs.sort().join('&')
}

function parseAmzDate(text: string): number {
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? []
  return Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)
}

/**
 * Computes a request's AWS Signature Version 4 again and returns what is wrong with it, `undefined` when it is good.
 *
 * @see AWS IAM User Guide, "Create a signed AWS API request"
 */
export function signatureProblem(request: SignedRequest, identity: SigningIdentity, nowMs: number): string | undefined {
  const header = (name: string) => {
    const value = request.headers[name]
    return (Array.isArray(value) ? value.join(',') : (value ?? '')).trim().replace(/ +/g, ' ')
  }
  const [, credential, signedHeaders, signature] = AUTHORIZATION.exec(header('authorization')) ?? []
  if (!credential || !signedHeaders || !signature) return 'no AWS4-HMAC-SHA256 authorization'

  const amzDate = header('x-amz-date')
  const day = amzDate.slice(0, 8)
  const scope = `${day}/${identity.region}/${identity.service}/aws4_request`
  if (credential !== `${identity.accessKeyId}/${scope}`) return 'wrong access key or scope'
  if (!(Math.abs(parseAmzDate(amzDate) - nowMs) <= SKEW_MS)) return 'signed too long ago'
  const names = signedHeaders.split(';')
  const unsigned = MUST_BE_SIGNED.filter((name) => !names.includes(name))
  if (unsigned.length > 0) return `not signed: ${unsigned.join(', ')}`
  if (names.join() !== [...names].sort().join()) return 'signed headers are not sorted'

  const [path = '/', query = ''] = request.target.split('?')
  const canonicalRequest = [
    request.method,
    path.split('/').map(encode).join('/'),
    canonicalQuery(query),
    ...names.map((name) => `${name}:${header(name)}`),
    '',
    signedHeaders,
    sha256(request.body),
  ].join('\n')
  const stringToSign = ['AWS4-HMAC-SHA256', amzDate, scope, sha256(canonicalRequest)].join('\n')
  const key = [day, identity.region, identity.service, 'aws4_request'].reduce<string | Buffer>(
    (previous, part) => hmac(previous, part),
    `AWS4${identity.secretAccessKey}`,
  )
  return timingSafeEqual(hmac(key, stringToSign), Buffer.from(signature, 'hex')) ? undefined : 'wrong signature'
}
