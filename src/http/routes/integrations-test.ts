import { z } from 'zod'
import { custodyKeyHeader, withCustodyKey } from '../custody-headers.ts'
import { integrationExample, posture, warningOf } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId } from '../schemas.ts'

const tested = z
  .strictObject({
    connected: z.literal(true),
    latency_ms: z.int().min(0),
    latency: z.strictObject({ dial_ms: z.number(), connack_ms: z.number() }),
    protocol_version: z.literal([4, 5]),
    limits: z
      .strictObject({
        receive_maximum: z.int(),
        maximum_packet_size: z.int(),
        maximum_qos: z.literal([0, 1, 2]),
        retain_available: z.boolean(),
        wildcard_subscription_available: z.boolean(),
        shared_subscription_available: z.boolean(),
      })
      .meta({ description: 'What the broker granted with its CONNACK' }),
    posture,
    warning: z.string().nullable(),
  })
  .meta({ id: 'TestedConnection' })

export const integrationsTest = defineOperation({
  id: 'integrations.test',
  method: 'post',
  path: '/api/v2/integrations/:id/test',
  summary: 'Test the connection to the broker',
  description:
    'Dials, does TLS and CONNECT, and says how the link is protected and what the broker grants. Neither publishes nor subscribes, so it needs no allowed operation. A credential in split custody needs the integration to be unlocked, or its custody key in X-Vault-Custody-Key, for this test alone.',
  scopes: ['integrations:write'],
  params: z.strictObject({ id: integrationId }),
  data: tested,
  example: {
    data: {
      connected: true,
      latency_ms: 12,
      latency: { dial_ms: 9.4, connack_ms: 2.1 },
      protocol_version: 5,
      limits: {
        receive_maximum: 20,
        maximum_packet_size: 268_435_455,
        maximum_qos: 2,
        retain_available: true,
        wildcard_subscription_available: true,
        shared_subscription_available: true,
      },
      posture: integrationExample.posture ?? {
        plaintext: true,
        tls_version: null,
        cipher: null,
        group: null,
        post_quantum: false,
      },
      warning: null,
    },
  },
  statuses: [200],
  headers: {
    'Request-Deadline-Ms':
      'Milliseconds until the answer must be there: 10 to 30000; when absent, REQUEST_DEADLINE_MS of the server (10000).',
    ...custodyKeyHeader,
  },
  errors: [
    'object.not_found',
    'destination.not_allowed',
    'credential.expired',
    'integration.invalid',
    'integration.locked',
    'custody.rejected',
    'rate.limited',
    'broker.rejected',
    'broker.unreachable',
    'broker.busy',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle({ integrations, testConnection }, { caller, params, deadlineMs, header }) {
    const integration = await integrations.find(caller.tenantId, params.id)
    const {
      latency,
      posture: link,
      ...result
    } = await withCustodyKey({ header }, (share) => testConnection({ caller, integration, share, deadlineMs }))
    const latencyMs = Math.round(latency.dial_ms + latency.connack_ms)
    return {
      data: {
        connected: true as const,
        latency_ms: latencyMs,
        latency,
        ...result,
        posture: link,
        warning: warningOf(link, integration.config.protocol),
      },
    }
  },
})
