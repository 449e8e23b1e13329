/**
 * What each operation takes from the quotas of its key and its tenant. One unit is a publish: a signature's share, two audit
 * rows, a round trip to a broker. Reading takes one too, work of the KMS, of private keys and of compilers more.
 */
export const costUnits: Readonly<Record<string, number>> = {
  'proxy.outbound': 1, // and what its body asks for, see `bodyUnits`
  'messages.get': 1,
  'encryption.decrypt': 5,
  'encryption.encrypt': 2,
  'encryption.sign': 10,
  'encryption.verify': 5,
  'encryption.keys': 1,
  'vault.seal': 20,
  'vault.unseal': 20,
  'vault.rotate': 20,
  'vault.delete': 5,
  'vault.list': 1,
  'vault.get': 1,
  'vault.versions': 1,
  'integrations.create': 5,
  'integrations.list': 1,
  'integrations.get': 1,
  'integrations.update': 5,
  'integrations.delete': 5,
  'integrations.test': 20,
  'integrations.unlock': 20,
  'integrations.lock': 5,
  'policies.validate': 50,
  'policies.simulate': 20,
  'policies.import': 50,
  'policies.presets': 1,
  'policies.create': 50,
  'policies.list': 1,
  'policies.get': 1,
  'policies.update': 50,
  'policies.delete': 5,
  'policies.revisions': 1,
  'policies.revision': 1,
  'blocked_clients.create': 5,
  'blocked_clients.list': 1,
  'blocked_clients.get': 1,
  'blocked_clients.delete': 5,
  'unauthorised_clients.list': 2,
  'unauthorised_clients.delete': 5,
  'unauthorised_clients.clear': 5,
  'recipients.enroll': 20,
  'recipients.confirm': 20,
  'recipients.export': 20,
  'recipients.list': 1,
  'recipients.get': 1,
  'recipients.revoke': 5,
  'api_keys.create': 5,
  'api_keys.list': 1,
  'api_keys.revoke': 5,
  'tenant_keys.list': 1,
  'tenant_keys.rotate': 50,
  'audit.list': 2,
  'audit.get': 1,
  'audit.verify': 50,
}

/** Of an operation that nobody has priced. */
export const UNPRICED_UNITS = 5
/** Units of a collect, and of a request with its reply: each holds a connection while it waits. */
export const WAITING_UNITS = 5
/** Messages of a batch that take one more unit: signed, sealed and recorded together, they cost a tenth. */
export const MESSAGES_PER_UNIT = 10

/**
 * What a body adds to the units of its operation, once it is parsed: a batch one for every ten messages, a collect or a
 * request four.
 */
export function bodyUnits(operationId: string, body: unknown): number {
  if (operationId !== 'proxy.outbound') return 0
  const { operation, payload } = body as { operation: string; payload?: { messages?: readonly unknown[] } }
  if (operation !== 'publish') return WAITING_UNITS - 1
  return Math.ceil((payload?.messages?.length ?? 0) / MESSAGES_PER_UNIT)
}
