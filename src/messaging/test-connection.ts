import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Posture } from '../outbound/posture.ts'
import type { CustodyShare, Vault } from '../vault/vault.ts'
import { failureDetail, OUTCOME_GRACE_MS, recordBy } from './audited.ts'
import { outcomeOfFailure } from './permission.ts'
import type { Pool } from './pool.ts'

export interface TestConnectionCommand {
  readonly caller: Caller
  readonly integration: Integration
  /** Opens a credential in split custody for this test alone; the caller's to wipe. */
  readonly share?: CustodyShare | undefined
  /** On the monotonic clock. */
  readonly deadlineMs: number
}

/** The answer as it goes to the caller. */
export interface TestConnectionResult {
  posture: Posture
  protocol_version: 4 | 5
  /** What the broker granted with its CONNACK. */
  limits: {
    receive_maximum: number
    maximum_packet_size: number
    maximum_qos: 0 | 1 | 2
    retain_available: boolean
    wildcard_subscription_available: boolean
    shared_subscription_available: boolean
  }
  /** Milliseconds: name, TCP, TLS and WebSocket together; CONNECT until CONNACK. */
  latency: { dial_ms: number; connack_ms: number }
}

export interface TestConnectionDeps {
  readonly pool: Pick<Pool, 'probe'>
  readonly vault: Pick<Vault, 'verifyShare'>
  readonly audit: Audit
  readonly clock: Clock
}

export type TestConnection = (command: TestConnectionCommand) => Promise<TestConnectionResult>

/**
 * Connects as publish would, on a connection of its own, and says how the link is protected and what the broker grants.
 * It neither publishes nor subscribes, so it needs no allowed operation. A success clears what the pool remembered of
 * earlier failures. Fails with what `Pool.probe` and, where a share is brought, `Vault.verifyShare` throw, and with
 * `audit.unavailable`.
 */
export function createTestConnection({ pool, vault, audit, clock }: TestConnectionDeps): TestConnection {
  return async function testConnection({ caller, integration, share, deadlineMs }) {
    const startedMs = clock.monotonic()
    const record = (outcome: AuditEvent['outcome'], detail: AuditEvent['detail']) =>
      recordBy({ audit, clock }, deadlineMs + OUTCOME_GRACE_MS, {
        ...caller,
        object: {
          kind: 'integration',
          id: integration.id,
        },
        action: 'integrations.test',
        outcome,
        detail: {
          ...detail,
          duration_ms: Math.round(clock.monotonic() - startedMs),
        },
      })
    let result: TestConnectionResult
    try {
      if (share) await vault.verifyShare(caller, integration.credentialId, share)
      const { client, dialMs, connackMs } = await pool.probe(integration, deadlineMs, share)
      void client.end()
      const { limits, posture } = client
      result = {
        posture,
        protocol_version: integration.config.protocolVersion,
        limits: {
          receive_maximum: limits.receiveMaximum,
          maximum_packet_size: limits.maximumPacketSize,
          maximum_qos: limits.maximumQos,
          retain_available: limits.retainAvailable,
          wildcard_subscription_available: limits.wildcardAvailable,
          shared_subscription_available: limits.sharedAvailable,
        },
        latency: { dial_ms: Math.round(dialMs * 10) / 10, connack_ms: Math.round(connackMs * 10) / 10 },
      }
    } catch (err) {
      await record(outcomeOfFailure(err), failureDetail(err))
      throw err
    }
    await record('success', { ...result.posture })
    return result
  }
}
