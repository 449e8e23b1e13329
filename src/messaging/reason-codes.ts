/** Names of the reason codes that refuse something (OASIS MQTT 5.0 §2.4). */
const REASONS: ReadonlyMap<number, string> = new Map([
  [0x80, 'Unspecified error'],
  [0x81, 'Malformed Packet'],
  [0x82, 'Protocol Error'],
  [0x83, 'Implementation specific error'],
  [0x84, 'Unsupported Protocol Version'],
  [0x85, 'Client Identifier not valid'],
  [0x86, 'Bad User Name or Password'],
  [0x87, 'Not authorized'],
  [0x88, 'Server unavailable'],
  [0x89, 'Server busy'],
  [0x8a, 'Banned'],
  [0x8b, 'Server shutting down'],
  [0x8c, 'Bad authentication method'],
  [0x8d, 'Keep Alive timeout'],
  [0x8e, 'Session taken over'],
  [0x8f, 'Topic Filter invalid'],
  [0x90, 'Topic Name invalid'],
  [0x91, 'Packet Identifier in use'],
  [0x93, 'Receive Maximum exceeded'],
  [0x94, 'Topic Alias invalid'],
  [0x95, 'Packet too large'],
  [0x96, 'Message rate too high'],
  [0x97, 'Quota exceeded'],
  [0x98, 'Administrative action'],
  [0x99, 'Payload format invalid'],
  [0x9a, 'Retain not supported'],
  [0x9b, 'QoS not supported'],
  [0x9c, 'Use another server'],
  [0x9d, 'Server moved'],
  [0x9e, 'Shared Subscriptions not supported'],
  [0x9f, 'Connection rate exceeded'],
  [0xa0, 'Maximum connect time'],
  [0xa1, 'Subscription Identifiers not supported'],
  [0xa2, 'Wildcard Subscriptions not supported'],
])

/** CONNACK return codes of MQTT 3.1.1 (OASIS MQTT 3.1.1 §3.2.2.3). */
const RETURN_CODES: readonly string[] = [
  'Connection Accepted',
  'Unacceptable protocol version',
  'Identifier rejected',
  'Server unavailable',
  'Bad user name or password',
  'Not authorized',
]

/** Codes that a broker which is starting or overloaded gives: return code 3 and MQTT 5's. */
const NOT_READY: ReadonlySet<number> = new Set([0x03, 0x88, 0x89])

/** Codes that say the credential itself is refused, so that asking again cannot help: return codes 4, 5 and MQTT 5's. */
const CREDENTIAL_REFUSED: ReadonlySet<number> = new Set([0x04, 0x05, 0x86, 0x87, 0x8a, 0x8c])

export const reasonCodes = {
  notAuthorized: 0x87,
  packetTooLarge: 0x95,
  noMatchingSubscribers: 0x10,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  sharedNotSupported: 0x9e,
  sessionTakenOver: 0x8e,
  wildcardNotSupported: 0xa2,
} as const

/** The name of a refusing reason code, or of a return code of MQTT 3.1.1; codes below 0x80 are the latter. */
export function reasonName(code: number): string {
  return (code < 0x80 ? RETURN_CODES[code] : REASONS.get(code)) ?? `Reason 0x${code.toString(16).padStart(2, '0')}`
}

/** Reports whether a CONNACK with this code refuses name and password themselves, whoever shows them. */
export function refusesPassword(code: number): boolean {
  return code === 0x04 || code === 0x86
}

/** Reports whether a CONNACK with this code refuses the credential, and not the moment or the client id. */
export function refusesCredential(code: number): boolean {
  return CREDENTIAL_REFUSED.has(code)
}

/** Reports whether a CONNACK with this code says that the broker takes nobody at the moment. */
export function saysNotReady(code: number): boolean {
  return NOT_READY.has(code)
}
