import type { RetainedConfig } from './guards-config.ts'
import type { GuardedMessage, Refusal } from './outcome.ts'

function refuse(reason: string): Refusal {
  return { rule: 'retained-denied', guard: 'retained', reason }
}

/** Says why a message may not be retained; `null` when it may, or is not to be. An empty payload is judged like any. */
export function checkRetained(config: RetainedConfig, { topic, payload, retain }: GuardedMessage): Refusal | null {
  if (!config.enabled || !retain) return null
  if (!config.allowRetained && !config.allowedTopics.matches(topic))
    return refuse('this topic may not have a retained message')
  if (config.blockedTopics.matches(topic)) return refuse('retained messages are blocked for this topic')
  if (config.maxSize !== null && payload.length > config.maxSize)
    return refuse(`a retained message may have ${config.maxSize} bytes, this one has ${payload.length}`)
  return null
}

/** Reports whether any topic may have a retained message. */
export function retainAvailable({ enabled, allowRetained, allowedTopics }: RetainedConfig): boolean {
  return !enabled || allowRetained || allowedTopics.filters.length > 0
}
