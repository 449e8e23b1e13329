import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type SigningIdentity, signatureProblem } from './sigv4.ts'

/** `Denied`: the key policy refuses us. */
export type KeyState = 'Enabled' | 'Disabled' | 'PendingDeletion' | 'Denied'

export interface RecordedRequest {
  operation: string
  keyId: string | undefined
  context: Readonly<Record<string, string>> | undefined
  /** As of `performance.now()`. */
  atMs: number
}

/** What the next requests meet instead of an answer: an error, or silence until the client hangs up. */
export type Fault = { times: number } & ({ type: string; status: number } | { silent: true })

export interface KmsDouble {
  url: string
  region: string
  accessKeyId: string
  secretAccessKey: string
  /** Every request with a good signature, oldest first. */
  requests: readonly RecordedRequest[]
  createKey(): { id: string; arn: string }
  setState(keyId: string, state: KeyState): void
  fail(fault: Fault): void
  /** Cuts every connection, and takes none until `up`. */
  down(): Promise<void>
  up(): Promise<void>
  close(): Promise<void>
}

interface Key {
  id: string
  arn: string
  state: KeyState
  material: Buffer
}

interface KmsRequest {
  KeyId?: string
  Plaintext?: string
  CiphertextBlob?: string
  EncryptionContext?: Record<string, string>
}

/** An error as KMS spells it on the wire. */
class KmsError extends Error {
  readonly type: string
  readonly status: number
  constructor(type: string, message = '', status = 400) {
    super(message)
    this.type = type
    this.status = status
  }
}

const REGION = 'eu-central-1'
const MAX_PLAINTEXT = 4096
/** Version and the key id's 16 bytes; then nonce[12], ciphertext, tag[16]. */
const HEAD_SIZE = 17
const NONCE_SIZE = 12
const TAG_SIZE = 16

function aadOf(head: Buffer, context: Record<string, string>): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat([head, Buffer.from(JSON.stringify(pairs))])
}

function seal(key: Key, plaintext: Buffer, context: Record<string, string>): Buffer {
  const head = Buffer.concat([Buffer.of(1), Buffer.from(key.id.replaceAll('-', ''), 'hex')])
  const nonce = randomBytes(NONCE_SIZE)
  const cipher = createCipheriv('aes-256-gcm', key.material, nonce).setAAD(aadOf(head, context))
  return Buffer.concat([head, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function unseal(key: Key, blob: Buffer, context: Record<string, string>): Buffer {
  const head = blob.subarray(0, HEAD_SIZE)
  const nonce = blob.subarray(HEAD_SIZE, HEAD_SIZE + NONCE_SIZE)
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.material, nonce)
      .setAAD(aadOf(head, context))
      .setAuthTag(blob.subarray(-TAG_SIZE))
    return Buffer.concat([decipher.update(blob.subarray(HEAD_SIZE + NONCE_SIZE, -TAG_SIZE)), decipher.final()])
  } catch {
    throw new KmsError('InvalidCiphertextException') // KMS says no more than that
  }
}

/** The keys and the two operations, without HTTP. */
function createKeys() {
  const keys = new Map<string, Key>()

  function find(keyId: string | undefined): Key {
    if (!keyId) throw new KmsError('ValidationException', 'KeyId is required here.')
    const key = keys.get(keyId.split('/').at(-1) ?? '')
    if (!key) throw new KmsError('NotFoundException', `Key '${keyId}' does not exist`)
    return key
  }

  function usable(key: Key): Key {
    if (key.state === 'Denied') throw new KmsError('AccessDeniedException', `not authorized for ${key.arn}`)
    if (key.state === 'Disabled') throw new KmsError('DisabledException', `${key.arn} is disabled.`)
    if (key.state !== 'Enabled') throw new KmsError('KMSInvalidStateException', `${key.arn} is pending deletion.`)
    return key
  }

  function contextOf({ EncryptionContext }: KmsRequest): Record<string, string> {
    if (EncryptionContext && Object.keys(EncryptionContext).length > 0) return EncryptionContext
    throw new KmsError('AccessDeniedException', 'The key policy asks for an encryption context.')
  }

  const operations = {
    Encrypt(request: KmsRequest) {
      const context = contextOf(request)
      const key = usable(find(request.KeyId))
      const plaintext = Buffer.from(request.Plaintext ?? '', 'base64')
      if (plaintext.length === 0 || plaintext.length > MAX_PLAINTEXT) {
        throw new KmsError('ValidationException', "Value at 'plaintext' failed to satisfy constraint: 1 to 4096 bytes")
      }
      return { CiphertextBlob: seal(key, plaintext, context).toString('base64'), KeyId: key.arn }
    },
    Decrypt(request: KmsRequest) {
      const context = contextOf(request)
      const named = find(request.KeyId)
      const blob = Buffer.from(request.CiphertextBlob ?? '', 'base64')
      if (blob.length <= HEAD_SIZE + NONCE_SIZE + TAG_SIZE || blob[0] !== 1) {
        throw new KmsError('InvalidCiphertextException')
      }
      const maker = [...keys.values()].find((key) => key.id.replaceAll('-', '') === blob.toString('hex', 1, HEAD_SIZE))
      if (!maker) throw new KmsError('InvalidCiphertextException')
      if (maker !== named)
        throw new KmsError('IncorrectKeyException', 'The key ID in the request does not identify it.')
      return { Plaintext: unseal(usable(maker), blob, context).toString('base64'), KeyId: maker.arn }
    },
  }

  return {
    operations: operations as Readonly<Record<string, (request: KmsRequest) => object>>,
    create() {
      const id = randomUUID()
      const arn = `arn:aws:kms:${REGION}:000000000000:key/${id}`
      keys.set(id, { id, arn, state: 'Enabled', material: randomBytes(32) })
      return { id, arn }
    },
    setState(keyId: string, state: KeyState) {
      find(keyId).state = state
    },
  }
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/**
 * Starts what stands for AWS KMS in tests: its wire protocol (AWS JSON 1.1), its signature check and its refusals, with
 * AES-256-GCM behind. `Encrypt` and `Decrypt` only.
 */
export async function startKmsDouble(): Promise<KmsDouble> {
  const identity: SigningIdentity = {
    accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    region: REGION,
    service: 'kms',
  }
  const keys = createKeys()
  const requests: RecordedRequest[] = []
  let fault: Fault | undefined

  async function answer(req: IncomingMessage): Promise<object | 'silence'> {
    const { method = '', url = '/', headers } = req
    const body = await readBody(req)
    const problem = signatureProblem({ method, target: url, headers, body }, identity, Date.now())
    if (problem !== undefined) throw new KmsError('InvalidSignatureException', problem)
    const operation = String(headers['x-amz-target']).replace(/^TrentService\./, '')
    const request = JSON.parse(body.toString()) as KmsRequest
    requests.push({
      operation,
      keyId: request.KeyId,
      context: request.EncryptionContext,
      atMs: performance.now(),
    })
    if (fault && fault.times-- > 0) {
      if ('silent' in fault) return 'silence'
      throw new KmsError(fault.type, 'Injected.', fault.status)
    }
    const run = keys.operations[operation]
    if (!run) throw new KmsError('UnknownOperationException', operation)
    return run(request)
  }

  function send(res: ServerResponse, status: number, body: object): void {
    res.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() })
    res.end(JSON.stringify(body))
  }

  const server = createServer((req, res) => {
    answer(req).then(
      (body) => body !== 'silence' && send(res, 200, body),
      (err: unknown) => {
        const { type, status, message } = err instanceof KmsError ? err : new KmsError('KMSInternalException', '', 500)
        send(res, status, { __type: type, message })
      },
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  async function end(): Promise<void> {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  return {
    url: `http://127.0.0.1:${port}`,
    region: REGION,
    accessKeyId: identity.accessKeyId,
    secretAccessKey: identity.secretAccessKey,
    requests,
    createKey: keys.create,
    setState: keys.setState,
    fail(next) {
      fault = next
    },
    down: end,
    async up() {
      if (!server.listening) await once(server.listen(port, '127.0.0.1'), 'listening')
    },
    close: end,
  }
}
