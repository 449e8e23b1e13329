import { z } from 'zod'
import type { Integration } from '../../integrations/integration.ts'
import type { Scope } from '../../tenants/principal.ts'
import type { OperationAnswer, OperationRequest } from '../operation.ts'
import { exampleId } from '../schemas.ts'
import type { Services } from '../services.ts'

/** Members of the body that every operation has. */
export const common = {
  integration_id: z
    .string()
    .max(64)
    .meta({ description: 'Id of the integration', example: exampleId('int') }),
  dry_run: z.boolean().optional().meta({ description: 'Run every check, send nothing' }),
}

export const qos = z.literal([0, 1, 2])

export const encoding = z
  .enum(['utf8', 'base64', 'json'])
  .meta({ id: 'Encoding', description: 'How `message` is written; utf8 when absent' })

export type ProxyRequest = Omit<OperationRequest<Record<string, unknown>, Record<string, unknown>, unknown>, 'body'>

/** One word of `operation`: what its key must hold, and how its body becomes a call. */
export interface ProxyOperation<Body, Data> {
  readonly scopes: readonly [Scope, ...Scope[]]
  run(services: Services, request: ProxyRequest, body: Body, integration: Integration): Promise<OperationAnswer<Data>>
}
