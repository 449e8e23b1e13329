import type { Qos } from '../policy/document.ts'
import type { QosConfig } from './guards-config.ts'
import type { Refusal } from './outcome.ts'
import { TopicFilters } from './topic-filters.ts'

/** Caps the QoS of what is published and subscribed to. */
export class QosGuard {
  readonly #config: QosConfig
  readonly #topics: TopicFilters

  constructor(config: QosConfig) {
    this.#config = config
    this.#topics = new TopicFilters(config.perTopic.map(({ topic }) => topic))
  }

  /** The highest QoS that any topic may have. */
  get highest(): Qos {
    const { enabled, maxQos, perTopic } = this.#config
    return enabled
      ? perTopic.reduce<Qos>((highest, entry) => (entry.maxQos > highest ? entry.maxQos : highest), maxQos)
      : 2
  }

  /** The QoS to forward a message with, or why it is not forwarded. */
  checkPublish(topic: string, qos: Qos): Qos | Refusal {
    if (!this.#config.enabled) return qos
    const limit = this.#limitAt(this.#topics.firstMatch(topic))
    if (qos <= limit) return qos
    if (this.#config.downgrade) return limit
    return {
      rule: 'qos-denied',
      guard: 'qos',
      reason: `QoS ${qos} is above ${limit}, the most that this topic may have`,
    }
  }

  /** The QoS to ask the broker for; a subscription is never refused for it. */
  checkSubscribe(filter: string, qos: Qos): Qos {
    if (!this.#config.enabled) return qos
    const limit = this.#limitAt(this.#topics.firstCovering(filter))
    return qos <= limit ? qos : limit
  }

  #limitAt(entry: number): Qos {
    return this.#config.perTopic[entry]?.maxQos ?? this.#config.maxQos
  }
}
