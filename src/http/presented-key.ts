import type { IncomingMessage } from 'node:http'

/**
 * Reads the API key of a request: `X-API-Key`, or `Authorization: Bearer`. Both at once, or one of them twice, present
 * nothing, so that no two readers of a request disagree about who sent it.
 */
export function presentedKey(req: IncomingMessage): string | undefined {
  const plain = req.headers['x-api-key']
  if (req.headers.authorization === undefined) {
    // Node joins two of them with a comma, which no key has.
    return typeof plain === 'string' && !plain.includes(',') ? plain : undefined
  }
  const [bearer = '', ...more] = req.headersDistinct['authorization'] ?? []
  return plain !== undefined || more.length > 0 ? undefined : /^Bearer +([^\s,]+)$/i.exec(bearer)?.[1]
}
