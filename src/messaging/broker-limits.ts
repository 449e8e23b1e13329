import type { IConnackPacket } from 'mqtt-packet'
import type { AppError } from '../core/errors.ts'
import { rejected } from '../outbound/dial-errors.ts'
import { parseSubscriptionFilter } from '../policy/topic-filter.ts'
import { reasonCodes, reasonName } from './reason-codes.ts'

export type Qos = 0 | 1 | 2

/** What the broker granted with its CONNACK; MQTT 3.1.1 and absent properties mean the protocol's own limits. */
export interface BrokerLimits {
  /** Messages of QoS 1 and 2 that may be unacknowledged. */
  readonly receiveMaximum: number
  /** Bytes of a whole packet. */
  readonly maximumPacketSize: number
  readonly maximumQos: Qos
  readonly retainAvailable: boolean
  readonly wildcardAvailable: boolean
  readonly sharedAvailable: boolean
}

/** The longest packet that the protocol can say (OASIS MQTT 5.0 §2.1.4), header included. */
const MAX_PACKET_BYTES = 268_435_460

/** @see OASIS MQTT 5.0 §3.2.2.3 */
export function limitsOf({ properties = {} }: Pick<IConnackPacket, 'properties'>): BrokerLimits {
  const { receiveMaximum = 65_535, maximumPacketSize = MAX_PACKET_BYTES, maximumQoS: maximumQos } = properties
  return {
    receiveMaximum,
    maximumPacketSize,
    maximumQos: maximumQos === 0 || maximumQos === 1 ? maximumQos : 2,
    retainAvailable: properties.retainAvailable ?? true,
    wildcardAvailable: properties.wildcardSubscriptionAvailable ?? true,
    sharedAvailable: properties.sharedSubscriptionAvailable ?? true,
  }
}

/** The refusal that the broker would answer, given without asking it: sending would end the shared connection. */
function beyond(code: number): AppError {
  return rejected(`The broker does not take this: ${reasonName(code)}.`, reasonName(code), code)
}

/** @throws {AppError} `broker.rejected` when the message is outside of what the broker granted */
export function assertPublishable(
  limits: BrokerLimits,
  { qos, retain, packetBytes }: { qos: Qos; retain: boolean; packetBytes: number },
): void {
  if (packetBytes > limits.maximumPacketSize) throw beyond(reasonCodes.packetTooLarge)
  if (qos > limits.maximumQos) throw beyond(reasonCodes.qosNotSupported)
  if (retain && !limits.retainAvailable) throw beyond(reasonCodes.retainNotSupported)
}

/** @throws {AppError} `broker.rejected` when the subscription is outside of what the broker granted */
export function assertSubscribable(limits: BrokerLimits, subscription: string, packetBytes: number): void {
  const { group, filter } = parseSubscriptionFilter(subscription)
  if (packetBytes > limits.maximumPacketSize) throw beyond(reasonCodes.packetTooLarge)
  if (group !== null && !limits.sharedAvailable) throw beyond(reasonCodes.sharedNotSupported)
  if (/[+#]/.test(filter) && !limits.wildcardAvailable) throw beyond(reasonCodes.wildcardNotSupported)
}
