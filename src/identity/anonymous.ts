import { z } from 'zod'
import { connectionFacts } from './connection-facts.ts'
import type { Provider } from './provider.ts'
import type { ProviderDeps } from './provider-deps.ts'

/** A section of `providers` with `"type": "anonymous"`: the only way in for somebody who shows no credentials. */
export const anonymousProviderSchema = z.strictObject({
  type: z.literal('anonymous'),
  groups: z.array(z.string().min(1).max(256)).max(64).default([]),
})

export type AnonymousSettings = z.output<typeof anonymousProviderSchema>

/**
 * Lets in whoever shows no credential at all, as type `anonymous`. Somebody who shows a username, a password, a token or a
 * certificate is skipped: what could not be verified is never waved through without it.
 */
export function createAnonymousProvider(settings: AnonymousSettings, { name }: Pick<ProviderDeps, 'name'>): Provider {
  return {
    name,
    async authenticate(credentials) {
      const shows =
        (credentials.username ?? '') !== '' ||
        (credentials.password?.reveal().length ?? 0) > 0 ||
        credentials.bearer !== undefined ||
        (credentials.certificates?.length ?? 0) > 0
      if (shows) return { outcome: 'skip', reason: 'no-credentials' } // none that it judges: what others found is telling
      return {
        outcome: 'success',
        identity: { ...connectionFacts(credentials), type: 'anonymous', auth: 'anonymous', groups: settings.groups },
        grant: 'anonymous',
      }
    },
    holds: (grant) => grant === 'anonymous',
  }
}
