import { z } from 'zod'
import { importDialects } from '../../policy/importers/import-policy.ts'
import { defineOperation } from '../operation.ts'
import { documentExample, policyDocument } from '../policy-view.ts'
import { jsonValue } from '../schemas.ts'

export const policiesImport = defineOperation({
  id: 'policies.import',
  method: 'post',
  path: '/api/v2/policies/import',
  summary: 'Translate the rules of another product',
  description:
    'Answers a policy document, and a note for every place that means something else in it. Nothing is stored: read the notes, then create a policy. Refused with every place that cannot be expressed.',
  scopes: ['policies:read'],
  body: z.strictObject({
    dialect: z.enum(importDialects),
    input: jsonValue.meta({ description: 'The source: a text, or JSON as it is' }),
    options: z
      .strictObject({
        id: z.string().min(1).max(128).exactOptional().meta({ description: 'Id of the document' }),
        ordered: z.boolean().exactOptional().meta({ description: 'CloudSignal: the first rule that matches decides' }),
        strip_leading_slash: z.boolean().exactOptional().meta({ description: 'CloudSignal: off the front of topics' }),
      })
      .prefault({}),
  }),
  data: z
    .strictObject({
      document: policyDocument,
      notes: z.array(
        z.strictObject({
          path: z.string().meta({ description: 'Place in the source' }),
          kind: z.enum(['stricter', 'ambiguous', 'dropped', 'changed']),
          message: z.string(),
        }),
      ),
    })
    .meta({ id: 'ImportedPolicy' }),
  example: {
    body: { dialect: 'mosquitto', input: 'topic write sensors/#\n' },
    data: {
      document: documentExample,
      notes: [{ path: 'line 1', kind: 'stricter', message: 'a filter is refused where it overlaps a deny' }],
    },
  },
  statuses: [200],
  errors: ['policy.invalid', 'rate.limited'],
  async handle({ policies }, { caller, body: { dialect, input, options } }) {
    const { strip_leading_slash: stripLeadingSlash, ...same } = options
    const { document, notes } = await policies.import(caller.tenantId, {
      dialect,
      json: JSON.stringify(input),
      options: { ...same, ...(stripLeadingSlash !== undefined && { stripLeadingSlash }) },
    })
    return {
      data: { document: { ...document }, notes: notes.map(({ path, kind, message }) => ({ path, kind, message })) },
    }
  },
})
