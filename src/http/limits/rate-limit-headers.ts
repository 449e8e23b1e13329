/** One quota as it stands after a request. */
export interface QuotaState {
  /** `key` or `tenant`. */
  readonly name: 'key' | 'tenant'
  /** Units left in this window. */
  readonly left: number
  /** Seconds until the window ends. */
  readonly resetS: number
}

/** Units per second. */
export interface QuotaValues {
  readonly key: number
  readonly tenant: number
}

/** Seconds of a window. */
export const WINDOW_S = 1

export type RateLimitHeaders = Readonly<{ ratelimit: string; 'ratelimit-policy': string }>

/**
 * Writes quotas as structured fields: all of them in the policy, so that it stays the same, and in the other what is known of
 * this window. The unit is that of `costUnits`, none of those that the draft registers, so `qu` is left out; whoever then
 * takes it for requests is right for a publish.
 *
 * @see draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4; RFC 9651 (List of String Items with Integer parameters)
 */
export function rateLimitHeaders(quotas: QuotaValues, states: readonly QuotaState[]): RateLimitHeaders {
  return {
    'ratelimit-policy': `"key";q=${quotas.key};w=${WINDOW_S}, "tenant";q=${quotas.tenant};w=${WINDOW_S}`,
    ratelimit: states.map(({ name, left, resetS }) => `"${name}";r=${left};t=${resetS}`).join(', '),
  }
}
