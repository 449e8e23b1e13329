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

function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && loopback.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/** Members of a request that a proxy on this host passes on for others; one that adds none cannot be told from a caller. */
const FORWARDED = /^(x-forwarded-.*|forwarded|via|x-real-ip)$/

/** From this host, by a name of this host (a page that has its name resolved to us brings another one), without a proxy. */
function isFromHere({ socket, headers }: Request): boolean {
  const asked = headers.host?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1') ?? ''
  const isNamed = asked === 'localhost' || isLoopback(asked)
  const isForwarded = Object.keys(headers).some((name) => FORWARDED.test(name))
  return isLoopback(socket.remoteAddress?.replace(/^::ffff:/, '') ?? '') && isNamed && !isForwarded
}

/**
 * `GET /metrics` for the operator: with the token as `Authorization: Bearer` where one is set, else for callers on this host
 * that come without a proxy; with the token only where proxies are expected.
 */
export function metricsRoute(
  { metrics, clock }: Pick<Services, 'metrics' | 'clock'>,
  { metricsToken, trustProxy }: { metricsToken: Secret<string> | undefined; trustProxy: readonly string[] },
): Router {
  const expected = metricsToken && digest(`Bearer ${metricsToken.reveal()}`)
  const isAllowed = (req: Request) =>
    expected
      ? equalBytes(digest(req.headers.authorization ?? ''), expected)
      : trustProxy.length === 0 && isFromHere(req)

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
