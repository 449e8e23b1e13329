import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import type { Principal, Scope } from '../../tenants/principal.ts'
import { defineOperation } from '../operation.ts'
import { dryRun } from '../proxy/dry-run.ts'
import { publishBody, published, publishOperation } from '../proxy/publish.ts'
import { batchDryRun, publishedBatch } from '../proxy/publish-batch.ts'
import { recallPublish } from '../proxy/recall-publish.ts'
import { requestBody, requested, requestOperation } from '../proxy/request.ts'
import { collected, subscribeBody, subscribeOperation } from '../proxy/subscribe.ts'
import { exampleId } from '../schemas.ts'

const operations = { publish: publishOperation, subscribe: subscribeOperation, request: requestOperation } as const

function assertScopes(principal: Principal, scopes: readonly Scope[]): void {
  for (const scope of scopes) {
    if (principal.scopes.has(scope)) continue
    throw new AppError('auth.forbidden', `This API key lacks the scope ${scope}.`, { details: { scope } })
  }
}

export const proxyOutbound = defineOperation({
  id: 'proxy.outbound',
  method: 'post',
  path: '/api/v2/proxy/outbound',
  summary: 'Publish, subscribe and collect, or request and await the reply',
  description:
    'The answer is an envelope for the calling key; its plaintext is `{success, data, error}` with the data below. 200: acknowledged by the broker. 202: sent at QoS 0, or nobody subscribes. 504: bytes may have left and nobody saw an acknowledgement. A request is answered 200 or 202 by what became of its message, with `reply: null` when no reply came; where nobody acknowledged its message it is 504 too, with `details.replied: true` if a reply came all the same, and without the reply: a refusal may travel without an envelope. A batch (`messages`) is answered item by item: 200 when every item was acknowledged, 202 when every item went out, 207 with `outcome: "partial"` when at least one did, and at least one did not or nobody knows; when none did, the error of the items that tells most (`outcome.unknown` before what could not be sent, before a refusal by the broker, before one by policy or guard), with `details.counts`, and `details.items` unless all ended alike. A lost connection or the deadline ends a batch: what was not written by then is `unavailable`, and no message overtakes one whose fate is unknown.',
  scopes: ['proxy:publish', 'proxy:subscribe'],
  body: z.discriminatedUnion('operation', [publishBody, subscribeBody, requestBody]),
  data: z.union([published, publishedBatch, collected, requested, dryRun, batchDryRun]),
  example: {
    body: {
      integration_id: exampleId('int'),
      operation: 'publish',
      payload: { topic: 'sensors/temperature', message: '22.5', qos: 1 },
    },
    data: {
      outcome: 'acknowledged',
      message_id: exampleId('msg'),
      integration_id: exampleId('int'),
      topic: 'sensors/temperature',
      qos: 1,
      retain: false,
      reason_code: 0,
      sent_at: '2026-11-21T09:00:00.000Z',
      acknowledged_at: '2026-11-21T09:00:00.004Z',
    },
  },
  statuses: [200, 202, 207],
  enveloped: true,
  idempotent: true,
  headers: {
    'Request-Deadline-Ms':
      'Milliseconds until the answer must be there: 10 to 30000; when absent, REQUEST_DEADLINE_MS of the server (10000; subscribe and request: wait_ms + 5000).',
  },
  errors: [
    'object.not_found',
    'operation.not_allowed',
    'policy.denied',
    'guard.refused',
    'destination.not_allowed',
    'credential.expired',
    'integration.invalid',
    'integration.locked',
    'recipient.required',
    'broker.rejected',
    'broker.unreachable',
    'broker.busy',
    'signer.busy',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle(services, request) {
    const { body, caller, principal } = request
    assertScopes(principal, operations[body.operation].scopes)
    const integration = await services.integrations.find(caller.tenantId, body.integration_id)
    switch (body.operation) {
      case 'publish':
        return publishOperation.run(services, request, body, integration)
      case 'request':
        return requestOperation.run(services, request, body, integration)
      case 'subscribe':
        return subscribeOperation.run(services, request, body, integration)
    }
  },
  async recall(services, request, messageId) {
    const { body, principal } = request
    assertScopes(principal, operations[body.operation].scopes)
    if (body.operation === 'subscribe') return 'unknown'
    return recallPublish(services, request, body, messageId)
  },
})
