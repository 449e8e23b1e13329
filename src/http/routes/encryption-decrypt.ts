import { z } from 'zod'
import { toBase64 } from '../../core/base64.ts'
import { decodeUtf8 } from '../../core/bytes.ts'
import type { ProtectedHeader } from '../../envelope/header.ts'
import { openEnvelope } from '../../envelope/open.ts'
import { parseEnvelope } from '../../envelope/parse-envelope.ts'
import { rejected } from '../../envelope/rejected.ts'
import { type EncryptionContext, openStoredObject, STORED_OBJECT } from '../../envelope/stored-object.ts'
import { encryptionContext } from '../caller-data.ts'
import { defineOperation, type OperationRequest } from '../operation.ts'
import type { Services } from '../services.ts'

const answer = z
  .strictObject({ success: z.boolean(), data: z.json(), error: z.json() })
  .meta({ id: 'OpenedAnswer', description: 'The answer that was sealed' })

const storedObject = z
  .strictObject({
    encryption_context: encryptionContext,
    data: z.string().meta({ description: 'base64' }),
  })
  .meta({ id: 'OpenedObject', description: 'What `/encryption/encrypt` was given' })

const opened = z
  .strictObject({
    plaintext: z.union([answer, storedObject]),
    signature_valid: z.boolean().meta({
      description:
        'true; false only for a stored object whose issuer key was revoked after it was made: the HMAC alone vouches for it',
    }),
    header: z
      .record(z.string(), z.json())
      .meta({ description: 'The protected header: operation, status, request id, times' }),
  })
  .meta({ id: 'OpenedEnvelope' })

type Opened = z.input<typeof opened>
type Request = OperationRequest<unknown, unknown, { envelope?: unknown }>

/** The row that says what was opened, and by whom. */
function openingOf({ caller }: Request, { op, rid, sig, aud }: ProtectedHeader) {
  const object = { kind: 'envelope', id: rid }
  const detail = { op, rid, issuer_key_id: sig, recipient_id: aud }
  return { ...caller, action: 'encryption.decrypt', outcome: 'success', object, detail } as const
}

/** Opens an answer to the calling key, once in a process. */
async function openOwnAnswer(services: Services, request: Request, audience: string): Promise<Opened> {
  const { recipients, keys, provider, audit, clock, replays } = services
  const { principal, body } = request
  const reader = await recipients.readerFor(principal, audience)
  const expectation = { op: 'answer', rqh: undefined, nowS: Math.floor(clock.now() / 1000) }
  const { header, plaintext, leaf } = openEnvelope(provider, body.envelope, reader, keys.issuers(), expectation)
  const sealed = JSON.parse(decodeUtf8(plaintext)) as z.input<typeof answer>
  const seen = replays(header.tid)
  const expS = header.exp ?? 0 // an answer always has one
  seen.enter(header.tid, leaf, expS, expectation.nowS)
  try {
    await audit.record(openingOf(request, header))
  } catch (err) {
    seen.leave(header.tid, leaf, expS)
    throw err
  }
  return { plaintext: sealed, signature_valid: true, header: { ...header } }
}

/** Opens an object of the tenant, as often as somebody asks who knows its context. */
async function openObject(
  services: Services,
  request: Request,
  { kemKeyId, context }: { kemKeyId: string; context: EncryptionContext },
): Promise<Opened> {
  const { tenantSigningKeys, keys, provider, audit, clock } = services
  const reader = await tenantSigningKeys.objectReader(request.principal.tenantId, kemKeyId)
  if (!reader) throw rejected()
  const expected = { context, nowS: Math.floor(clock.now() / 1000) }
  const object = openStoredObject(provider, request.body.envelope, reader, keys.issuers(), expected)
  await audit.record(openingOf(request, object.header))
  return {
    plaintext: { encryption_context: context, data: toBase64(object.data) },
    signature_valid: object.isIssuerTrusted,
    header: { ...object.header },
  }
}

export const encryptionDecrypt = defineOperation({
  id: 'encryption.decrypt',
  method: 'post',
  path: '/api/v2/encryption/decrypt',
  summary: 'Open an answer or an object',
  description:
    'Verifies both signatures, then opens. An answer: for API keys whose recipient key the server holds, once in a process; a caller who enrolled opens locally and gets 409 here. A stored object of the tenant: with the `encryption_context` that it was made with.',
  scopes: ['encryption:use'],
  body: z.strictObject({
    envelope: z.unknown().meta({ override: { $ref: '#/components/schemas/HybridCryptoEnvelope' } }),
    encryption_context: encryptionContext.optional(),
    verify_signature: z
      .boolean()
      .optional()
      .meta({ description: 'Accepted and ignored: both signatures are always verified' }),
  }),
  data: opened,
  example: {
    data: {
      plaintext: { success: true, data: { outcome: 'acknowledged' }, error: null },
      signature_valid: true,
      header: { v: 2, op: 'proxy.outbound', st: 200 },
    },
  },
  statuses: [200],
  errors: [
    'envelope.rejected',
    'envelope.stale',
    'envelope.mismatch',
    'envelope.replay',
    'envelope.not_ours',
    'envelope.issuer_unknown',
    'recipient.required',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle(services, request) {
    const { principal, body } = request
    const addressed = parseEnvelope(body.envelope)?.header
    if (addressed?.tid !== principal.tenantId) throw rejected()
    if (addressed.op !== STORED_OBJECT) {
      if (body.encryption_context !== undefined) throw rejected()
      return { data: await openOwnAnswer(services, request, addressed.aud) }
    }
    const context = body.encryption_context ?? {}
    return { data: await openObject(services, request, { kemKeyId: addressed.kem, context }) }
  },
})
