import type { Credentials } from '../provider.ts'
import { mayBeToken, type ReadToken, readToken, type UnverifiedToken } from './read-token.ts'
import type { JwtSettings } from './settings.ts'

/** A token, read or remembered. */
export interface FoundToken<Known> {
  readonly text: string
  readonly token: UnverifiedToken | 'malformed' | { readonly known: Known }
}

export interface Found<Known> {
  /** In the order of `token_from`, each text once. */
  readonly tokens: readonly FoundToken<Known>[]
  /** What the client says it is called; `undefined` where that is nothing, or the token itself. */
  readonly username: string | undefined
}

type Place = JwtSettings['token_from'][number]

function textAt(place: Place, { bearer, password, username }: Credentials): string | undefined {
  if (place === 'authorization') return bearer?.reveal()
  if (place === 'username') return username
  const bytes = password?.reveal()
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1') // a token is ASCII
}

/**
 * Looks for tokens where the configuration says that they may stand. What is no token is nobody's business here.
 *
 * @param recall what is known of a text that was shown before, so that it need not be read again
 */
export function findTokens<Known>(
  credentials: Credentials,
  { token_from: places, max_token_bytes: maxLength }: Pick<JwtSettings, 'token_from' | 'max_token_bytes'>,
  recall: (text: string) => Known | undefined,
): Found<Known> {
  const tokens: FoundToken<Known>[] = []
  let isUsernameToken = false
  for (const place of places) {
    const text = textAt(place, credentials)
    if (text === undefined || !mayBeToken(text)) continue
    const known = text.length > maxLength ? undefined : recall(text)
    const token: ReadToken | { known: Known } = known === undefined ? readToken(text, maxLength) : { known }
    if (token === 'none') continue
    if (place === 'username') isUsernameToken = true
    if (!tokens.some((one) => one.text === text)) tokens.push({ text, token })
  }
  const { username } = credentials
  return { tokens, username: isUsernameToken || username === '' ? undefined : username }
}
