import type { Request } from 'express'
import { utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { uuidOfId } from '../core/ids.ts'
import { ML_KEM_SUITE } from '../envelope/suites.ts'
import { type HybridCryptoEnvelopeV1, sealVersion1 } from '../envelope/version-1.ts'
import type { Version1KeySet } from '../keys/tenant-signing-keys.ts'
import type { TenantPlace } from '../signing/tenant-queue.ts'
import type { KnownRecipient } from '../tenants/recipients.ts'
import type { Operation } from './operation.ts'
import { ANSWER_LIFE_S, type AnswerToSeal } from './seal-answer.ts'
import type { Services } from './services.ts'

const HEADER = 'envelope-version'

/** How one answer is sealed in version 1: with keys of the tenant, and a signature of its own. */
export interface Version1Sealing {
  /** Takes a place in the tenant's queue. @throws {AppError} `signer.busy` */
  admit(): void
  seal(answer: AnswerToSeal): Promise<HybridCryptoEnvelopeV1>
  release(): void
}

/** Judges `Envelope-Version` by its form; whether the tenant allows version 1 is asked when it is used. */
export function refuseEnvelopeVersion(operation: Operation, req: Request): void {
  const version = req.headers[HEADER]
  if (version === undefined || version === '2') return
  if (version !== '1') throw new AppError('request.invalid', 'Envelope-Version: must be 1 or 2.')
  if (!operation.enveloped)
    throw new AppError('request.invalid', 'Envelope-Version: the answer of this operation is not an envelope.')
  if (operation.handsOutKeys)
    throw new AppError('request.invalid', 'Envelope-Version: keys are handed out in version 2 only.')
}

/** Reports whether the caller asked for version 1. */
export function wantsVersion1(req: Request): boolean {
  return req.headers[HEADER] === '1'
}

/**
 * The plaintext of version 1: the format signs neither request, reader nor time, so the members of the header of version 2
 * come inside.
 */
function writePlaintext(tenantId: string, keys: Version1KeySet, answer: AnswerToSeal, iat: number): Uint8Array {
  const ids = { tid: tenantId, kem: keys.kemKeyId, sig: keys.keyId, mac: keys.macKeyId, aud: keys.recipientId }
  const about = { op: answer.op, sub: answer.subject, rid: answer.requestId, rqh: answer.requestHash }
  const ctx = { v: 1, suite: ML_KEM_SUITE, ...ids, ...about, st: answer.status, seq: null }
  return utf8(JSON.stringify({ ctx: { ...ctx, iat, exp: iat + ANSWER_LIFE_S }, data: answer.plaintext }))
}

/**
 * Prepares an answer in version 1 for a caller who asked for it.
 *
 * The server makes the keys of version 1 and can open what is sealed to them. An API key whose answers only its holder can
 * open is therefore refused: otherwise one header, added on the way, would open them to the server.
 *
 * @throws {AppError} `request.invalid` where the tenant or the API key does not allow it
 */
export async function prepareVersion1(
  services: Pick<Services, 'allowsVersion1' | 'tenantSigningKeys' | 'version1Queue' | 'provider' | 'clock'>,
  tenantId: string,
  recipient: KnownRecipient | undefined,
): Promise<Version1Sealing> {
  const { tenantSigningKeys, version1Queue, provider, clock } = services
  if (!(await services.allowsVersion1(tenantId)))
    throw new AppError(
      'request.invalid',
      `Envelope-Version: this tenant allows version 2 only. The operator of the server allows version 1 with: sealwire tenants set ${tenantId} --envelope-versions 1,2`,
    )
  if (recipient?.custody !== 'server')
    throw new AppError(
      'request.invalid',
      'Envelope-Version: this API key has a recipient of its own, whose answers are sealed in version 2 only. Ask for version 1 with an API key that never enrolled.',
    )
  const keys = await tenantSigningKeys.version1Keys(tenantId)
  let place: TenantPlace | undefined

  function admit(): TenantPlace {
    place ??= version1Queue.reserve(tenantId)
    return place
  }

  return {
    admit,
    async seal(answer) {
      const taken = admit()
      place = undefined
      return taken.run(() => {
        const plaintext = writePlaintext(tenantId, keys, answer, Math.floor(clock.now() / 1000))
        return sealVersion1(provider, keys, uuidOfId(tenantId), plaintext)
      })
    },
    release: () => place?.release(),
  }
}
