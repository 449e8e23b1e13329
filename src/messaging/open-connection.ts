import { randomBytes } from 'node:crypto'
import { wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Dial } from '../outbound/dial.ts'
import type { BrokerClient } from './broker.ts'
import { connectBroker } from './broker-client.ts'
import { parseBrokerCredential } from './broker-credential.ts'
import type { CredentialUse } from './credential-gate.ts'

export interface OpenedConnection {
  readonly client: BrokerClient
  readonly dialMs: number
  readonly connackMs: number
}

export type OpenConnection = (
  integration: Integration,
  use: CredentialUse,
  deadlineMs: number,
) => Promise<OpenedConnection>

export interface OpenConnectionDeps {
  readonly dial: Dial
  readonly clock: Clock
}

/** Makes the function that turns an integration into a logged-in client: open the credential, dial, CONNECT. */
export function createOpenConnection({ dial, clock }: OpenConnectionDeps): OpenConnection {
  const instance = randomBytes(4).toString('hex')

  return async function openConnection({ config }, use, deadlineMs) {
    const { target, login } = parseBrokerCredential(await use.open(deadlineMs), config)
    try {
      const startedMs = clock.monotonic()
      const link = await dial(target, { deadlineMs })
      const dialledMs = clock.monotonic()
      try {
        use.assertUnlocked() // it may have been locked meanwhile: the broker sees no login then
      } catch (err) {
        link.close()
        throw err
      }
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
    } finally {
      if (login.password !== undefined) wipe(login.password.reveal())
    }
  }
}
