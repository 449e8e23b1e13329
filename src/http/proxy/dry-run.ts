import { z } from 'zod'
import { qos } from './proxy-request.ts'

export const dryRun = z
  .strictObject({
    dry_run: z.literal(true),
    allowed: z.boolean(),
    operation: z.enum(['publish', 'subscribe', 'request']),
    topic: z.string(),
    qos,
    retain: z.boolean(),
    reason: z.string().meta({ description: 'Why policy or allow list say what they say' }),
    rule: z.string().nullable().meta({ description: 'Id of the rule that decided' }),
    policy_id: z.string().nullable().meta({ description: 'null: config.topic and config.topics decided' }),
    policy_revision: z.int().nullable(),
    guard: z.string().nullable().meta({ description: 'What a guard would refuse or record' }),
    trace: z.array(z.string()).meta({ description: 'What became of every rule, a line each' }),
  })
  .meta({ id: 'DryRun', description: 'QoS and retain are those that would be forwarded' })
