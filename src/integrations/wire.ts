import { z } from 'zod'
import { type ConfigOnWire, configSchema, type IntegrationConfig } from './config-schema.ts'
import { guardsSchema } from './guards-schema.ts'
import { operations, type StoredIntegration } from './integration.ts'

/** Maps a parsed `config` to the names that the code uses. */
export function configFromWire(wire: ConfigOnWire): IntegrationConfig {
  return {
    topic: wire.topic,
    topics: wire.topics,
    replyPrefix: wire.reply_prefix,
    qos: wire.qos,
    protocol: wire.protocol,
    protocolVersion: wire.protocol_version,
    tls: {
      serverName: wire.tls.server_name,
      alpn: wire.tls.alpn,
      minVersion: wire.tls.min_version,
      requirePqc: wire.tls.require_pqc,
    },
    wsPath: wire.ws_path,
    clientIdPrefix: wire.client_id_prefix,
    keepaliveS: wire.keepalive_s,
    limits: {
      maxTopicBytes: wire.limits.max_topic_bytes,
      maxPayloadBytes: wire.limits.max_payload_bytes,
      maxInFlight: wire.limits.max_in_flight,
    },
  }
}

/** Maps a `config` back to the names of the wire and of the database; what was absent and has no default stays absent. */
export function configToWire(config: IntegrationConfig): ConfigOnWire {
  return {
    ...(config.topic !== undefined && { topic: config.topic }),
    topics: [...config.topics],
    ...(config.replyPrefix !== undefined && { reply_prefix: config.replyPrefix }),
    qos: config.qos,
    ...(config.protocol !== undefined && { protocol: config.protocol }),
    protocol_version: config.protocolVersion,
    tls: {
      ...(config.tls.serverName !== undefined && { server_name: config.tls.serverName }),
      alpn: [...config.tls.alpn],
      min_version: config.tls.minVersion,
      require_pqc: config.tls.requirePqc,
    },
    ws_path: config.wsPath,
    client_id_prefix: config.clientIdPrefix,
    keepalive_s: config.keepaliveS,
    limits: {
      max_topic_bytes: config.limits.maxTopicBytes,
      max_payload_bytes: config.limits.maxPayloadBytes,
      max_in_flight: config.limits.maxInFlight,
    },
  }
}

/** An integration as answers show it; the http layer adds the posture of the link beside it. */
export const integrationView = z.strictObject({
  id: z.string(),
  name: z.string(),
  system_type: z.literal('mqtt'),
  credential_id: z.string(),
  allowed_operations: z.array(z.enum(operations)),
  config: configSchema,
  policy_id: z.string().nullable(),
  guards: guardsSchema.nullable(),
  revision: z.int().min(1),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
})
export type IntegrationView = z.output<typeof integrationView>

/** Renders an integration for an answer. */
export function integrationToWire(integration: StoredIntegration): IntegrationView {
  return {
    id: integration.id,
    name: integration.name,
    system_type: integration.systemType,
    credential_id: integration.credentialId,
    allowed_operations: operations.filter((operation) => integration.allowedOperations.has(operation)),
    config: configToWire(integration.config),
    policy_id: integration.policyId,
    guards: integration.guards,
    revision: integration.revision,
    created_at: integration.createdAt.toISOString(),
    updated_at: integration.updatedAt.toISOString(),
  }
}
