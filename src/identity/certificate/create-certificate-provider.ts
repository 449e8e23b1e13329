import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { connectionFacts } from '../connection-facts.ts'
import type { Provider, RefusalReason, Verdict } from '../provider.ts'
import type { ProviderDeps } from '../provider-deps.ts'
import { judgeChain } from './judge-chain.ts'
import { compileMatches, usernameOf } from './match-names.ts'
import { type Certificate, parseCertificate } from './parse-certificate.ts'
import { MAX_CA_FILE_BYTES, readAnchors } from './read-anchors.ts'
import type { CertificateMatch, CertificateSettings } from './settings.ts'

export interface CertificateProvider extends Provider {
  /** Reads the file of CAs now; resolves when it is in force, or was refused. The timer does the same. */
  refresh(): Promise<void>
  close(): void
}

export interface CertificateProviderDeps extends Pick<ProviderDeps, 'name' | 'clock' | 'log'> {
  /** Milliseconds between looks at the file of CAs; 1000 when absent. */
  readonly lookMs?: number
}

/** Certificates that one client may present. */
const MAX_PRESENTED = 10
const LOOK_MS = 1_000

const refuse = (reason: RefusalReason): Verdict => ({ outcome: 'refuse', reason })

/** A file of CAs that cannot be used, with its path and the reason; no content is in it. */
export class CaFileInvalid extends Error {
  override readonly name = 'CaFileInvalid'
}

/** A pipe without a writer would otherwise hold a thread for ever. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

async function readText(path: string): Promise<string> {
  const refuseFile = (problem: string): never => {
    throw new CaFileInvalid(`file ${JSON.stringify(path)} ${problem}`)
  }
  try {
    await using file = await open(path, READ)
    const stat = await file.stat()
    if (!stat.isFile()) return refuseFile('is not a file')
    if (stat.size > MAX_CA_FILE_BYTES) return refuseFile(`is longer than ${MAX_CA_FILE_BYTES} bytes`)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(stat.size), 0, stat.size, 0)
    return buffer.subarray(0, bytesRead).toString('latin1')
  } catch (err) {
    if (err instanceof Error && 'code' in err) return refuseFile(`cannot be read: ${String(err.code)}`)
    throw err
  }
}

async function loadAnchors(path: string, text: string): Promise<readonly Certificate[]> {
  const anchors = readAnchors(text)
  if ('problem' in anchors) throw new CaFileInvalid(`file ${JSON.stringify(path)} ${anchors.problem}`)
  return anchors.certificates
}

/** What a certificate says, in an identity; names as they are, which policies treat as text and never as a pattern. */
function factsOf(leaf: Certificate) {
  const [cn] = leaf.commonNames
  const { dns, uri, email } = leaf.altNames
  return {
    ...(cn === undefined ? {} : { cn }),
    san: [...dns, ...uri, ...email],
    issuer: leaf.issuerText,
    serial: leaf.serial,
    fingerprint: leaf.fingerprint,
  }
}

function rightsOf({ client_type: type, org, groups, roles, scopes }: CertificateMatch) {
  return { type, ...(org === undefined ? {} : { org }), groups, roles, scopes }
}

/**
 * Creates the provider that knows clients by their certificate. Whoever fills in `certificates` answers for it that TLS has shown
 * the client to have the key: a certificate is public.
 *
 * Skipped are clients without a certificate, and those whose certificate leads to no CA of the file; everything else that is
 * wrong refuses. What was accepted holds until the first certificate of the path ends, and as long as the CA is in the file,
 * which is read again when it changes; with an invalid file the CAs from before stay, and the log says so.
 *
 * @throws {CaFileInvalid} when the file of CAs cannot be used at the start
 */
export async function createCertificateProvider(
  settings: CertificateSettings,
  { name, clock, log, lookMs = LOOK_MS }: CertificateProviderDeps,
): Promise<CertificateProvider> {
  const { ca_file: path } = settings
  const find = compileMatches(settings.matches)
  let text = await readText(path)
  let anchors = await loadAnchors(path, text)
  let trusted = new Set(anchors.map(({ fingerprint }) => fingerprint))
  let complaint: string | undefined

  async function look(): Promise<void> {
    try {
      const now = await readText(path)
      if (now !== text) {
        anchors = await loadAnchors(path, now)
        trusted = new Set(anchors.map(({ fingerprint }) => fingerprint))
        text = now
        log.info({ provider: name, certificates: anchors.length }, 'the file of CAs was read again')
      }
      complaint = undefined
    } catch (err) {
      if (!(err instanceof CaFileInvalid)) throw err
      if (err.message !== complaint)
        log.error({ provider: name, problem: err.message }, 'the file of CAs is not taken; those from before stay')
      complaint = err.message
    }
  }

  let looking: Promise<void> | undefined
  const refresh = () => {
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
  const timer = setInterval(() => void refresh(), lookMs).unref()

  return {
    name,
    async authenticate(credentials) {
      const { certificates: presented = [], username: said = '' } = credentials
      if (presented.length === 0) return { outcome: 'skip', reason: 'no-credentials' }
      if (presented.length > MAX_PRESENTED) return refuse('certificate-untrusted')
      const chain = presented.map(parseCertificate)
      if (!chain.every((one) => one !== undefined)) return refuse('certificate-untrusted')
      const verdict = judgeChain(chain, anchors, clock.now())
      if (verdict.outcome === 'foreign') return { outcome: 'skip', reason: 'certificate-untrusted' }
      if (verdict.outcome === 'refused') {
        const { reason, problem } = verdict
        log.debug({ provider: name, reason, problem }, 'a client certificate is refused')
        return refuse(reason)
      }
      const { leaf, anchor, expiresAt } = verdict
      const match = find(leaf)
      const username = usernameOf(leaf, settings.username_from)
      if (!match || username === undefined) return refuse('certificate-unmatched')
      const mustMatch = said !== '' && settings.connect_username === 'must-match'
      if (mustMatch && said !== username) return refuse('username-mismatch')
      return {
        outcome: 'success',
        identity: {
          ...connectionFacts(credentials),
          username,
          auth: 'x509',
          ...rightsOf(match),
          cert: factsOf(leaf),
        },
        expiresAt,
        grant: `${leaf.fingerprint}.${anchor.fingerprint}`,
      }
    },
    holds: (grant) => trusted.has(grant.split('.')[1] ?? ''),
    refresh,
    close: () => clearInterval(timer),
  }
}
