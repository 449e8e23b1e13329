import type { RequestHandler } from 'express'

const ALLOWED_HEADERS =
  'authorization, content-type, envelope-nonce, envelope-version, idempotency-key, if-match, request-deadline-ms, x-api-key, x-vault-custody-key, x-vault-enable-mpc'
const EXPOSED_HEADERS = 'date, etag, idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id'

/** Lets pages of the listed origins call the API. No credentials mode: an API key is a header, never a cookie. */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const allowed = new Set(origins.map((origin) => new URL(origin).origin))
  return (req, res, next) => {
    const { origin } = req.headers
    res.vary('Origin')
    if (origin === undefined || !allowed.has(origin)) {
      next()
      return
    }
    res.setHeader('access-control-allow-origin', origin)
    res.setHeader('access-control-expose-headers', EXPOSED_HEADERS)
    if (req.method !== 'OPTIONS' || req.headers['access-control-request-method'] === undefined) {
      next()
      return
    }
    res.setHeader('access-control-allow-methods', 'GET, POST, PATCH, DELETE')
    res.setHeader('access-control-allow-headers', ALLOWED_HEADERS)
    res.setHeader('access-control-max-age', '600')
    res.status(204).end()
  }
}
