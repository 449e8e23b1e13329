import { z } from 'zod'
import { accessActions } from '../../policy/access.ts'
import { defineOperation } from '../operation.ts'
import { policyDocument, revisionNumber } from '../policy-view.ts'
import { exampleId, jsonObject, policyId } from '../schemas.ts'

const text = z.string().max(1024)
const texts = z.array(text).max(1000)
const qos = z.literal([0, 1, 2])

/** Who asks. Members are named as in policies; one that is absent is unknown, which allows nothing. */
const identity = z
  .strictObject({
    clientId: text.exactOptional(),
    username: text.exactOptional(),
    type: z.enum(['device', 'application', 'service', 'user', 'anonymous']).exactOptional(),
    ip: text.exactOptional(),
    protocol: z.literal([3, 4, 5]).exactOptional(),
    listener: text.exactOptional(),
    tls: z.boolean().exactOptional(),
    auth: z.enum(['basic', 'jwt', 'x509', 'scram', 'http', 'apikey', 'anonymous']).exactOptional(),
    org: text.exactOptional(),
    sub: text.exactOptional(),
    groups: texts.exactOptional(),
    roles: texts.exactOptional(),
    scopes: texts.exactOptional(),
    claims: jsonObject.exactOptional(),
    cert: z
      .strictObject({
        cn: text.exactOptional(),
        san: texts.exactOptional(),
        issuer: text.exactOptional(),
        serial: text.exactOptional(),
        fingerprint: text.exactOptional(),
      })
      .exactOptional(),
  })
  .meta({ id: 'Identity' })

const accessRequest = z
  .strictObject({
    action: z.enum(accessActions),
    topic: z
      .string()
      .max(65_535)
      .default('')
      .meta({ description: 'A topic name; for subscribe and unsubscribe a filter, with its share prefix' }),
    qos: qos.exactOptional(),
    retain: z.boolean().exactOptional(),
  })
  .meta({ id: 'AccessRequest' })

const decision = z
  .strictObject({
    decision: z.enum(['allow', 'deny']),
    reason: z.string().meta({ description: 'Such as rule, default, deny-overlap, invalid-topic:bad-hash' }),
    rule: z.string().nullable().meta({ description: 'Id of the rule that decided' }),
    qos: qos.nullable().meta({ description: 'Forwarded, or granted' }),
    retain: z.boolean().nullable().meta({ description: 'Forwarded' }),
    trace: z
      .array(
        z.strictObject({
          rule: z.string(),
          effect: z.enum(['allow', 'deny']),
          priority: z.int(),
          applies: z.boolean(),
          why: z.string().meta({ description: 'matched, or why it was passed over: action, when:<key>, topic, qos …' }),
          pattern: z.string().nullable().meta({ description: 'With its variables filled in' }),
          example: z.string().nullable().meta({ description: 'A topic name that shows it' }),
        }),
      )
      .optional(),
  })
  .meta({ id: 'AccessDecision' })

const body = z
  .strictObject({
    policy_id: policyId.optional(),
    revision: revisionNumber.optional().meta({ description: 'Of that policy; the active one when absent' }),
    document: policyDocument.optional().meta({ description: 'In place of policy_id' }),
    identity,
    requests: z.array(accessRequest).min(1).max(1000),
    delivery: z.boolean().default(true).meta({ description: 'Whether the surface can check each delivery' }),
    trace: z.boolean().default(true).meta({ description: 'A step for each rule beside each decision' }),
  })
  .refine(({ policy_id: id, document }) => (id === undefined) !== (document === undefined), {
    error: 'must name either policy_id or document',
  })
  .refine(({ policy_id: id, revision }) => revision === undefined || id !== undefined, {
    path: ['revision'],
    error: 'goes with policy_id',
  })

export const policiesSimulate = defineOperation({
  id: 'policies.simulate',
  method: 'post',
  path: '/api/v2/policies/simulate',
  summary: 'Ask a policy',
  description:
    'Decides as the proxy, the gateway and the broker hooks would, and says why. Neither resolves nor connects to anything, and stores nothing.',
  scopes: ['policies:read'],
  body,
  data: z
    .strictObject({
      policy_id: policyId.nullable().meta({ description: 'null for a document in the request' }),
      revision: revisionNumber.nullable(),
      decisions: z.array(decision).meta({ description: 'In the order of the requests' }),
    })
    .meta({ id: 'Simulation' }),
  example: {
    body: {
      policy_id: exampleId('pol'),
      identity: { sub: exampleId('key'), type: 'service', auth: 'apikey' },
      requests: [{ action: 'publish', topic: 'alarms', qos: 1 }],
    },
    data: {
      policy_id: exampleId('pol'),
      revision: 1,
      decisions: [
        {
          decision: 'deny',
          reason: 'default',
          rule: null,
          qos: null,
          retain: null,
          trace: [
            {
              rule: 'sensors',
              effect: 'allow',
              priority: 0,
              applies: false,
              why: 'topic',
              pattern: `sensors/${exampleId('key')}/#`,
              example: null,
            },
          ],
        },
      ],
    },
  },
  statuses: [200],
  errors: ['object.not_found', 'policy.invalid', 'rate.limited'],
  async handle({ policies }, { caller, body: { policy_id: id, document, revision, ...asked } }) {
    const subject = document === undefined ? { policyId: id ?? '', revision } : { document }
    const answer = await policies.simulate(caller.tenantId, { ...asked, ...subject })
    return {
      data: {
        policy_id: answer.policyId,
        revision: answer.revision,
        decisions: answer.decisions.map(({ trace, ...one }) => ({ ...one, ...(trace && { trace: [...trace] }) })),
      },
    }
  },
})
