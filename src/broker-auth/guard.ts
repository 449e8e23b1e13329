import { timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import type { Secret } from '../core/secret.ts'
import { judgeChain } from '../identity/certificate/judge-chain.ts'
import { type Certificate, parseCertificate } from '../identity/certificate/parse-certificate.ts'

/** A connection, as far as it tells who is at its other end. */
export interface Peer {
  readonly remoteAddress?: string | undefined
  /** Only of TLS: what the other end showed, and has the key of. */
  getPeerCertificate?(detailed: true): PeerCertificate
}

/** A certificate as Node tells of it, with those behind it; a root is its own issuer. */
interface PeerCertificate {
  readonly raw?: Buffer
  readonly issuerCertificate?: PeerCertificate
}

/** What a request brings to show that it is the broker of a hook. */
export interface Shown {
  /** The segment between the hook's name and its path. */
  readonly inPath: string | undefined
  /** The member `secret` of the query. */
  readonly inQuery: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly peer: Peer
}

/** `authorization`: the secret stood there, so that the header is nobody's token. */
export type Admission = 'stranger' | 'admitted' | 'authorization'

export interface GuardSettings {
  readonly secret: Secret<Uint8Array> | undefined
  /** CIDRs. */
  readonly addresses: readonly string[] | undefined
  readonly mutualTls: { readonly anchors: readonly Certificate[]; readonly names: readonly string[] } | undefined
}

const MAX_CHAIN = 10
/** Members of a request that a proxy adds: behind one, the address of the connection is the proxy's. */
const FORWARDED = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']

function equals(presented: string | undefined, expected: Buffer): boolean {
  if (presented === undefined) return false
  const bytes = Buffer.from(presented)
  return bytes.length === expected.length && timingSafeEqual(bytes, expected)
}

function chainOf(peer: Peer): Certificate[] {
  const chain: Certificate[] = []
  const seen = new Set<string>()
  let one = peer.getPeerCertificate?.(true)
  while (one?.raw && chain.length < MAX_CHAIN) {
    const parsed = parseCertificate(one.raw)
    if (!parsed || seen.has(parsed.fingerprint)) break
    seen.add(parsed.fingerprint)
    chain.push(parsed)
    one = one.issuerCertificate
  }
  return chain
}

/** The addresses of a list of CIDRs. */
export function createAddressList(cidrs: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [network = '', prefix = ''] = cidr.split('/')
    list.addSubnet(network, Number(prefix), isIP(network) === 6 ? 'ipv6' : 'ipv4')
  }
  return (address = '') => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/**
 * Creates the test whether a request comes from the broker of a hook: everything that is configured must hold. The secret is
 * compared in constant time, in whichever place it stands first: path, query, `X-Hook-Secret`, `Authorization: Bearer`.
 */
export function createGuard(
  { secret, addresses, mutualTls }: GuardSettings,
  now: () => number,
): (shown: Shown) => Admission {
  if (!secret && !addresses && !mutualTls) throw new TypeError('a hook without a guard')
  const expected = secret && Buffer.from(secret.reveal())
  const isNear = addresses && createAddressList(addresses)
  const trustedUntil = new WeakMap<Peer, number>()

  /** Until when the certificate of a connection is good; it does not change while the connection lasts. */
  function certifiedUntil(peer: Peer): number {
    const known = trustedUntil.get(peer)
    if (known !== undefined || !mutualTls) return known ?? 0
    const verdict = judgeChain(chainOf(peer), mutualTls.anchors, now())
    const names = verdict.outcome === 'trusted' ? [...verdict.leaf.commonNames, ...verdict.leaf.altNames.dns] : []
    const isNamed = names.some((name) => mutualTls.names.includes(name))
    const until = verdict.outcome === 'trusted' && isNamed ? verdict.expiresAt : 0
    trustedUntil.set(peer, until)
    return until
  }

  function judgeSecret({ inPath, inQuery, headers }: Shown, wanted: Buffer): Admission {
    const header = headers['x-hook-secret']
    const first = inPath ?? inQuery ?? header
    if (first !== undefined) return typeof first === 'string' && equals(first, wanted) ? 'admitted' : 'stranger'
    const { authorization } = headers
    const token =
      typeof authorization === 'string' && /^bearer /i.test(authorization) ? authorization.slice(7) : undefined
    return equals(token?.trim(), wanted) ? 'authorization' : 'stranger'
  }

  return (shown) => {
    // A page in somebody's browser, which may be near: what it loads by GET tells no origin, but that it was fetched.
    if (shown.headers['origin'] !== undefined || shown.headers['sec-fetch-site'] !== undefined) return 'stranger'
    if (isNear && (!isNear(shown.peer.remoteAddress) || FORWARDED.some((name) => shown.headers[name] !== undefined)))
      return 'stranger'
    if (mutualTls && certifiedUntil(shown.peer) <= now()) return 'stranger'
    if (expected) return judgeSecret(shown, expected)
    // Without a secret there is none to take out of the path or the query.
    return shown.inPath === undefined ? 'admitted' : 'stranger'
  }
}
