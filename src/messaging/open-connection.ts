import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Dial } from '../outbound/dial.ts'
import type { BrokerClient } from './broker.ts'
import { connectBroker } from './broker-client.ts'
import { parseBrokerCredential } from './broker-credential.ts'
import { EXPIRED, withDeadline } from './deadline.ts'

/** What the pool asks of the vault. */
export interface CredentialSource {
  current(tenantId: string, id: string): Promise<{ version: number; expiresAt: Date | null } | undefined>
  open(tenantId: string, id: string): Promise<{ version: number; values: Readonly<Record<string, unknown>> }>
}

export interface OpenedConnection {
  readonly client: BrokerClient
  readonly dialMs: number
  readonly connackMs: number
}

export type OpenConnection = (integration: Integration, deadlineMs: number) => Promise<OpenedConnection>

export interface OpenConnectionDeps {
  readonly vault: Pick<CredentialSource, 'open'>
  readonly dial: Dial
  readonly clock: Clock
}

/** Makes the function that turns an integration into a logged-in client: open the credential, dial, CONNECT. */
export function createOpenConnection({ vault, dial, clock }: OpenConnectionDeps): OpenConnection {
  const instance = randomBytes(4).toString('hex')

  return async function openConnection(integration, deadlineMs) {
    const { tenantId, credentialId, config } = integration
    const opened = await withDeadline(vault.open(tenantId, credentialId), deadlineMs, clock)
    if (opened === EXPIRED) throw vaultTooSlow()
    const { target, login } = parseBrokerCredential(opened.values, config)
    const startedMs = clock.monotonic()
    const link = await dial(target, { deadlineMs })
    const dialledMs = clock.monotonic()
    const client = await connectBroker({
      link,
      login,
      deadlineMs,
      clock,
      keepaliveS: config.keepaliveS,
      protocolVersion: config.protocolVersion,
      clientId: `${config.clientIdPrefix}-${instance}-${randomBytes(16).toString('hex')}`,
    })
    return { client, dialMs: dialledMs - startedMs, connackMs: clock.monotonic() - dialledMs }
  }
}

function vaultTooSlow(): AppError {
  return new AppError('vault.unavailable', 'The vault did not answer in time.', { retryAfterS: 1 })
}

/**
 * Names the credential version that applies now.
 *
 * @throws {AppError} `credential.expired`; `integration.invalid` when the entry is gone; `vault.unavailable` when it was
 * not found by `deadlineMs` (monotonic clock)
 */
export async function currentVersion(
  vault: Pick<CredentialSource, 'current'>,
  { tenantId, credentialId }: Integration,
  deadlineMs: number,
  clock: Clock,
): Promise<number> {
  const current = await withDeadline(vault.current(tenantId, credentialId), deadlineMs, clock)
  if (current === EXPIRED) throw vaultTooSlow()
  if (!current) throw new AppError('integration.invalid', 'The credential of this integration no longer exists.')
  if (current.expiresAt !== null && current.expiresAt.getTime() <= clock.now()) {
    throw new AppError('credential.expired', 'The credential of this integration has expired: rotate it.')
  }
  return current.version
}
