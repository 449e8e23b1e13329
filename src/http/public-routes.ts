import { type Request, type Response, Router } from 'express'
import { newId } from '../core/ids.ts'
import { DOCUMENT_MAX_AGE_S } from '../keys/key-states.ts'
import type { InFlight } from './in-flight.ts'
import { send, sendError, toAppError } from './render.ts'
import type { Services } from './services.ts'

type PublicServices = Pick<Services, 'keys' | 'readiness' | 'kmsProvider' | 'clock' | 'provider'>

/** Health and the key document: no API key, no wrapper. */
export function publicRoutes(
  { keys, readiness, kmsProvider, clock, provider }: PublicServices,
  inFlight: Pick<InFlight, 'stopping'>,
): Router {
  const router = Router()

  const answer = (work: (req: Request, res: Response) => Promise<void>) => async (req: Request, res: Response) => {
    const requestId = newId('req', clock.now())
    try {
      await work(req, res)
    } catch (err) {
      sendError(req, res, requestId, clock.now(), toAppError(err, requestId))
    }
  }

  /** The process is up; it says what it runs on, and that a local key file is not a KMS. */
  router.get(
    '/health',
    answer(async (_req, res) => {
      const checks = await readiness()
      const healthy = Object.values(checks).every((ok) => ok)
      const kms = kmsProvider === 'local' ? 'local key file (not a KMS)' : 'aws'
      send(
        res,
        200,
        {},
        JSON.stringify({ status: healthy ? 'healthy' : 'degraded', checks, kms, crypto: provider.name }),
      )
    }),
  )

  /** 200 only when an answer could be made right now, and the server is not about to stop. */
  router.get(
    '/health/ready',
    answer(async (_req, res) => {
      const checks = await readiness()
      const works = Object.values(checks).every((ok) => ok)
      const ready = works && !inFlight.stopping
      const status = inFlight.stopping ? 'stopping' : works ? 'ready' : 'not ready'
      send(res, ready ? 200 : 503, ready ? {} : { 'retry-after': '1' }, JSON.stringify({ status, checks }))
    }),
  )

  router.get(
    '/.well-known/sealwire-keys',
    answer(async (_req, res) => {
      const document = await keys.document()
      send(res, 200, { 'cache-control': `public, max-age=${DOCUMENT_MAX_AGE_S}` }, JSON.stringify(document))
    }),
  )
  return router
}
