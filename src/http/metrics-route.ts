import { createHash } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { type Request, Router } from 'express'
import { equalBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { Secret } from '../core/secret.ts'
import { apiHeaders } from './constant-headers.ts'
import { sendError, toAppError } from './render.ts'
import type { Services } from './services.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Digests have one length, so that a comparison tells nothing about the token. */
const digest = (text: string): Uint8Array => createHash('sha256').update(text).digest()

/** A proxy on this host speaks for others: what it passes on is not from here. */
function isFromHere({ socket, headers }: Request): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  const isForwarded = ['x-forwarded-for', 'forwarded', 'via'].some((name) => headers[name] !== undefined)
  return isIP(address) !== 0 && loopback.check(address, family) && !isForwarded
}

/**
 * `GET /metrics` for the operator: with the token as `Authorization: Bearer` where one is set, else for callers on this host
 * that come without a proxy.
 */
export function metricsRoute(
  { metrics, clock }: Pick<Services, 'metrics' | 'clock'>,
  token: Secret<string> | undefined,
): Router {
  const expected = token && digest(`Bearer ${token.reveal()}`)
  const isAllowed = (req: Request) =>
    expected ? equalBytes(digest(req.headers.authorization ?? ''), expected) : isFromHere(req)

  return Router().get('/metrics', async (req, res) => {
    const requestId = newId('req', clock.now())
    try {
      if (!isAllowed(req))
        throw new AppError('auth.unauthenticated', 'Metrics are for the operator: see METRICS_TOKEN.')
      const text = await metrics.text()
      res.writeHead(200, { ...apiHeaders, 'content-type': metrics.contentType }).end(text)
    } catch (err) {
      sendError(req, res, requestId, clock.now(), toAppError(err, requestId))
    }
  })
}
