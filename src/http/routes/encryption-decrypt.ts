import { z } from 'zod'
import { decodeUtf8 } from '../../core/bytes.ts'
import { openEnvelope } from '../../envelope/open.ts'
import { parseEnvelope } from '../../envelope/parse-envelope.ts'
import { rejected } from '../../envelope/rejected.ts'
import { defineOperation } from '../operation.ts'

const opened = z
  .strictObject({
    plaintext: z
      .strictObject({ success: z.boolean(), data: z.json(), error: z.json() })
      .meta({ description: 'The answer that was sealed' }),
    signature_valid: z.literal(true),
    header: z
      .record(z.string(), z.json())
      .meta({ description: 'The protected header: operation, status, request id, times' }),
  })
  .meta({ id: 'OpenedEnvelope' })

export const encryptionDecrypt = defineOperation({
  id: 'encryption.decrypt',
  method: 'post',
  path: '/api/v2/encryption/decrypt',
  summary: 'Open an answer',
  description:
    'For API keys whose recipient key the server holds: verifies both signatures, then opens. Each answer opens once in a process. A caller who enrolled opens locally and gets 409 here.',
  scopes: ['encryption:use'],
  body: z.strictObject({
    envelope: z.unknown().meta({ override: { $ref: '#/components/schemas/HybridCryptoEnvelope' } }),
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
  async handle({ recipients, keys, provider, audit, clock, replays }, { principal, caller, body }) {
    const addressed = parseEnvelope(body.envelope)?.header
    if (addressed?.tid !== principal.tenantId) throw rejected()
    const reader = await recipients.readerFor(principal, addressed.aud)
    const expectation = { op: 'answer', rqh: undefined, nowS: Math.floor(clock.now() / 1000) }
    const { header, plaintext, leaf } = openEnvelope(provider, body.envelope, reader, keys.issuers(), expectation)
    const answer = JSON.parse(decodeUtf8(plaintext)) as z.input<typeof opened>['plaintext']
    const seen = replays(header.tid)
    const expS = header.exp ?? 0 // an answer always has one
    seen.enter(header.tid, leaf, expS, expectation.nowS)
    const opening = {
      action: 'encryption.decrypt',
      outcome: 'success',
      object: { kind: 'envelope', id: header.rid },
    } as const
    try {
      await audit.record({ ...caller, ...opening })
    } catch (err) {
      seen.leave(header.tid, leaf, expS)
      throw err
    }
    return { data: { plaintext: answer, signature_valid: true as const, header: { ...header } } }
  },
})
