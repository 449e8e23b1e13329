import type { IncomingMessage } from 'node:http'

/**
 * Reads the API key of a request: `X-API-Key`, or `Authorization: Bearer`. Both at once, or one of them twice, present
 * nothing, so that no two readers of a request disagree about who sent it.
 */
export function presentedKey({ headersDistinct }: IncomingMessage): string | undefined {
  const [plain, ...morePlain] = headersDistinct['x-api-key'] ?? []
  const [bearer, ...moreBearer] = headersDistinct['authorization'] ?? []
  if (morePlain.length > 0 || moreBearer.length > 0 || (plain !== undefined && bearer !== undefined)) return undefined
  return plain ?? /^Bearer +([^\s,]+)$/i.exec(bearer ?? '')?.[1]
}
