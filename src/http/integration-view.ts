import { z } from 'zod'
import { etagOf, type StoredIntegration } from '../integrations/integration.ts'
import { integrationView as baseView, integrationToWire } from '../integrations/wire.ts'
import type { Posture } from '../outbound/posture.ts'
import type { OperationAnswer } from './operation.ts'
import { exampleId, jsonObject, policyId, timestamp } from './schemas.ts'
import type { Services } from './services.ts'

/** How the link to the broker is protected. */
export const posture = z
  .strictObject({
    plaintext: z.boolean(),
    tls_version: z.string().nullable(),
    cipher: z.string().nullable(),
    group: z.string().nullable().meta({ description: 'Key exchange group' }),
    post_quantum: z.boolean(),
  })
  .meta({ id: 'Posture' })

export const integrationView = z
  .strictObject({
    ...baseView.shape,
    policy_id: policyId.nullable().meta({ description: 'Decides instead of config.topic and config.topics' }),
    guards: jsonObject.nullable().meta({ description: 'Guards of single messages, as they were given' }),
    posture: posture
      .nullable()
      .meta({ description: 'Of the last link that this process made; null before the first one' }),
    warning: z.string().nullable(),
    split_custody: z.boolean().meta({ description: 'The credential opens only with the custody key of its holder' }),
    locked: z.boolean().meta({
      description:
        'In split custody, and the process that answers does not hold the key: publish and collect are refused',
    }),
    unlocked_until: timestamp
      .nullable()
      .meta({ description: 'Until when the process that answers holds the key; another process may not' }),
  })
  .meta({ id: 'Integration' })

export const PLAINTEXT_WARNING =
  'The link to this broker is not encrypted: its user name, password and messages can be read on the way. Use mqtts or wss.'

export function warningOf(link: Posture | null, protocol: StoredIntegration['config']['protocol']): string | null {
  const plaintext = link ? link.plaintext : protocol === 'mqtt' || protocol === 'ws'
  return plaintext ? PLAINTEXT_WARNING : null
}

/** Renders one integration with what is known of its link, and of its lock in this process. */
export async function viewOf(
  { postureOf, custody }: Pick<Services, 'postureOf' | 'custody'>,
  integration: StoredIntegration,
): Promise<z.input<typeof integrationView>> {
  const link = postureOf(integration)
  const { splitCustody, unlockedUntil } = await custody.stateOf(integration)
  return {
    ...integrationToWire(integration),
    posture: link,
    warning: warningOf(link, integration.config.protocol),
    split_custody: splitCustody,
    locked: splitCustody && unlockedUntil === null,
    unlocked_until: unlockedUntil?.toISOString() ?? null,
  }
}

/** The header that `answerOf` sets, for the document. */
export const etagHeader = { ETag: 'The revision, for If-Match of a change.' } as const

/** An answer about one integration, with its revision as `ETag`. */
export async function answerOf(
  services: Pick<Services, 'postureOf' | 'custody'>,
  integration: StoredIntegration,
): Promise<OperationAnswer<z.input<typeof integrationView>>> {
  return { data: await viewOf(services, integration), headers: { etag: etagOf(integration) } }
}

export const integrationExample: z.input<typeof integrationView> = {
  id: exampleId('int'),
  name: 'plant line 4',
  system_type: 'mqtt',
  credential_id: '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10',
  allowed_operations: ['publish'],
  config: {
    topic: 'sensors/temperature',
    topics: [],
    qos: 1,
    protocol: 'mqtts',
    protocol_version: 5,
    tls: { alpn: [], min_version: 'TLSv1.2', require_pqc: false },
    ws_path: '/mqtt',
    client_id_prefix: 'sealwire',
    keepalive_s: 30,
    limits: { max_topic_bytes: 1024, max_payload_bytes: 262_144, max_in_flight: 256 },
  },
  policy_id: null,
  guards: null,
  revision: 1,
  created_at: '2026-11-21T09:00:00.000Z',
  updated_at: '2026-11-21T09:00:00.000Z',
  posture: {
    plaintext: false,
    tls_version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    group: 'X25519MLKEM768',
    post_quantum: true,
  },
  warning: null,
  split_custody: false,
  locked: false,
  unlocked_until: null,
}
