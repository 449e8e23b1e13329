import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fromBase64, fromBase64Url, toBase64 } from '#src/core/base64.ts'
import { utf8 } from '#src/core/bytes.ts'
import { newId } from '#src/core/ids.ts'
import { Secret } from '#src/core/secret.ts'
import type { CryptoProvider, MacKey } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { enrolmentProof } from '#src/envelope/enrolment.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import { type PublishedKey, rootFingerprint, signKeyDocument } from '#src/envelope/key-document.ts'
import { apiTarget, requestHash } from '#src/envelope/request-hash.ts'
import { type Claims, type SealingRecipient, sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { findSuite, ML_KEM_SUITE } from '#src/envelope/suites.ts'
import type { Recipient } from '#src/sdk/recipient.ts'

/** One request as the stub received it. */
export interface SeenRequest {
  method: string
  /** Path and query. */
  url: string
  headers: IncomingHttpHeaders
  body: Uint8Array
}

export interface FullAnswer {
  status: number
  headers?: Record<string, string>
  body: unknown
}

/** What the stub answers: a status with a body, or a connection that breaks or stays silent. */
export type StubAnswer = FullAnswer | 'break the connection' | 'stay silent'

export type Responder = (request: SeenRequest) => Promise<StubAnswer> | StubAnswer

interface SealOptions {
  status?: number
  claims?: Partial<Claims>
  /** In place of the key that the document names. */
  issuer?: Deployment['issuer']
  recipient?: SealingRecipient
}

type Deployment = ReturnType<typeof createDeployment>

const now = () => Math.floor(Date.now() / 1000)
const DAY_S = 86_400

function createDeployment(provider: CryptoProvider) {
  const makeKey = () => {
    const signing = provider.signingKey(provider.randomBytes(32))
    const verify = provider.verifyKey(signing.publicKey)
    if (!verify) throw new Error('no verification key')
    return { keyId: newId('sig'), signing, verify }
  }
  const rootKey = makeKey()
  return { rootKey, issuer: makeKey(), makeKey, root: rootFingerprint(provider, rootKey.signing.publicKey) }
}

/** A recipient from both sides, as it is after enrolment. */
function createParties(provider: CryptoProvider, baseUrl: string, root: string) {
  const seed = provider.randomBytes(64)
  const macKey = provider.randomBytes(64)
  const kem = provider.kemPublicKey(provider.kemPrivateKey(seed).publicKey)
  if (!kem) throw new Error('no KEM key')
  const ids = {
    tenantId: newId('ten'),
    recipientId: newId('rcp'),
    suite: ML_KEM_SUITE,
    kemKeyId: newId('kem'),
    macKeyId: newId('mac'),
  }
  const sealing: SealingRecipient = { ...ids, kem, mac: provider.macKey(macKey) }
  const recipient: Recipient = { ...ids, baseUrl, kemSeed: new Secret(seed), macKey: new Secret(macKey), root }
  return { sealing, recipient }
}

/** A wrapper without an envelope, as a refusal before authentication, or anyone in between, would write it. */
export function bareRefusal(status: number, code: string, headers: Record<string, string> = {}): FullAnswer {
  const error = { code, message: `said ${code}`, details: null, type: 'about:blank', title: code, status }
  return { status, headers, body: { success: false, data: null, error, meta: { request_id: 'req_bare' } } }
}

export function bareSuccess(data: unknown, status = 200): FullAnswer {
  return { status, body: { success: true, data, error: null, meta: { request_id: 'req_bare' } } }
}

export interface Plaintext {
  success: boolean
  data: unknown
  error: { code: string; message: string; details: unknown } | null
}

export function refusal(code: string, details: unknown = null): Plaintext {
  return { success: false, data: null, error: { code, message: `refused: ${code}`, details } }
}

export function success(data: unknown): Plaintext {
  return { success: true, data, error: null }
}

export type SealedStub = Awaited<ReturnType<typeof startSealedStub>>

/**
 * Starts an HTTP server that speaks the API far enough to test a client: real key document, real envelopes, and otherwise
 * what the test says. Seals with OpenSSL, so that a client on noble is also held against the other provider.
 */
export async function startSealedStub(provider: CryptoProvider = opensslProvider) {
  const deployment = createDeployment(provider)
  const seen: SeenRequest[] = []
  const keyRequests: SeenRequest[] = []
  let respond: Responder
  let respondKeys: Responder
  let published: readonly PublishedKey[]
  let signRoot: Deployment['rootKey']

  function publishedKey(key = deployment.issuer): PublishedKey {
    return {
      kid: key.keyId,
      use: 'envelope-v2',
      pub: key.signing.publicKey,
      nbf: now() - DAY_S,
      naf: null,
      state: 'active',
    }
  }

  async function documentOf(
    keys: readonly PublishedKey[],
    root = deployment.rootKey,
    iat = now() - 10,
  ): Promise<FullAnswer> {
    return { status: 200, body: await signKeyDocument(provider, root, keys, iat, iat + DAY_S) }
  }

  /** Back to a server that knows its keys and fails at everything else, and has seen nothing. */
  function reset(): void {
    seen.length = 0
    keyRequests.length = 0
    published = [publishedKey()]
    signRoot = deployment.rootKey
    respond = () => bareRefusal(500, 'internal')
    respondKeys = () => documentOf(published, signRoot)
  }
  reset()

  function send(res: ServerResponse, answer: StubAnswer): void {
    if (answer === 'stay silent') return
    if (answer === 'break the connection') {
      res.destroy()
      return
    }
    const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
    res.writeHead(answer.status, { 'Content-Type': 'application/json', ...answer.headers }).end(body)
  }

  const server = createServer(async (req, res) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of req) chunks.push(chunk as Uint8Array)
    const request = {
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      body: new Uint8Array(Buffer.concat(chunks)),
    }
    const isKeys = request.url.endsWith('/.well-known/sealwire-keys')
    ;(isKeys ? keyRequests : seen).push(request)
    send(res, await (isKeys ? respondKeys(request) : respond(request)))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { sealing, recipient } = createParties(provider, url, deployment.root)

  function rqhOf(request: SeenRequest): string | null {
    const header = request.headers['envelope-nonce']
    const nonce = typeof header === 'string' ? fromBase64Url(header) : undefined
    if (!nonce) return null
    const { method, body } = request
    return requestHash(provider, { nonce, method, target: apiTarget(request.url), body })
  }

  /** Seals an answer to a request as the server would; `claims` replaces what a test wants different. */
  async function seal(
    request: SeenRequest,
    plaintext: unknown,
    options: SealOptions = {},
  ): Promise<HybridCryptoEnvelope> {
    const issuer = options.issuer ?? deployment.issuer
    const iat = options.claims?.iat ?? now()
    const claims: Claims = {
      op: 'proxy.outbound',
      sub: null,
      rid: newId('req'),
      rqh: rqhOf(request),
      st: options.status ?? 200,
      seq: null,
      exp: iat + 300,
      ...options.claims,
      iat,
    }
    const bytes = utf8(JSON.stringify(plaintext))
    const sealed = sealEnvelope(provider, options.recipient ?? sealing, issuer.keyId, claims, bytes)
    const [signature] = await signLeaves(provider, issuer, [sealed])
    if (!signature) throw new Error('no signature')
    return sealed.complete(signature)
  }

  /** A whole answer: the wrapper with the envelope as `data`, and for a refusal code and message beside it. */
  async function sealed(request: SeenRequest, plaintext: Plaintext, options: SealOptions = {}): Promise<FullAnswer> {
    const envelope = await seal(request, plaintext, options)
    const body = {
      success: plaintext.success,
      data: envelope,
      error: plaintext.error,
      meta: { request_id: 'req_bare' },
    }
    return { status: options.status ?? 200, body }
  }

  /** The recipient of the last enrolment. */
  let enrolled: SealingRecipient | undefined

  /** Answers both steps of an enrolment, and checks the proof of the second. */
  function enrolment(): Responder {
    let pending: { mac: MacKey; recipientId: string; ek: Uint8Array } | undefined
    return async (request) => {
      const json = JSON.parse(Buffer.from(request.body).toString()) as Record<string, string>
      if (request.url.endsWith('/confirm')) {
        const expected = pending && toBase64(enrolmentProof(pending.mac, pending.recipientId, pending.ek))
        return json['proof'] === expected
          ? bareSuccess({ id: pending?.recipientId })
          : bareRefusal(404, 'object.not_found')
      }
      const suite = findSuite(json['suite'] ?? '')
      const kem = suite?.publicKey(provider, fromBase64(json['kem_public_key'] ?? '') ?? new Uint8Array())
      if (!suite || !kem) return bareRefusal(400, 'request.invalid')
      const macKey = provider.randomBytes(64)
      const ids = {
        tenantId: sealing.tenantId,
        recipientId: newId('rcp'),
        kemKeyId: newId('kem'),
        macKeyId: newId('mac'),
      }
      pending = { mac: provider.macKey(macKey), recipientId: ids.recipientId, ek: kem.bytes }
      const { recipientId, kemKeyId, macKeyId } = ids
      const data = { recipient_id: recipientId, kem_key_id: kemKeyId, mac_key_id: macKeyId, mac_key: toBase64(macKey) }
      enrolled = { ...ids, suite: suite.name, kem, mac: pending.mac }
      const claims = { op: 'recipients.enroll', sub: recipientId }
      return sealed(request, success(data), { status: 201, recipient: enrolled, claims })
    }
  }

  return {
    url,
    /** Calls, in order; requests for the key document are in `keyRequests`. */
    seen,
    keyRequests,
    deployment,
    recipient,
    seal,
    sealed,
    enrolment,
    /** Who was enrolled last; answers to it name it as `recipient`. */
    enrolled(): SealingRecipient {
      if (!enrolled) throw new Error('nobody enrolled')
      return enrolled
    },
    publishedKey,
    documentOf,
    reset,
    answerWith(next: Responder): void {
      respond = next
    },
    /** One answer after the other; the last one stays. */
    answerInTurn(...answers: readonly [Responder, ...Responder[]]): void {
      let turn = 0
      respond = (request) => (answers[Math.min(turn++, answers.length - 1)] ?? answers[0])(request)
    },
    publishKeys(keys: readonly PublishedKey[], root = deployment.rootKey): void {
      published = keys
      signRoot = root
    },
    answerKeysWith(next: Responder): void {
      respondKeys = next
    },
    async close(): Promise<void> {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
