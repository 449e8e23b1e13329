import type { IncomingMessage } from 'node:http'

/**
 * Reads the API key of a request: `X-API-Key`, or `Authorization: Bearer`. Both at once present nothing, so that no two
 * readers of a request disagree about who sent it; the same holds for a header sent twice, which Node joins with a comma.
 */
export function presentedKey(req: IncomingMessage): string | undefined {
  const plain = req.headers['x-api-key']
  const bearer = req.headers.authorization
  if (plain !== undefined && bearer !== undefined) return undefined
  if (typeof plain === 'string') return plain
  return /^Bearer +([^\s,]+)$/i.exec(bearer ?? '')?.[1]
}
