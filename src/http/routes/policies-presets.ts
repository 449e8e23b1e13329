import { z } from 'zod'
import { describePreset, preset, presetNames } from '../../policy/presets/preset.ts'
import { defineOperation } from '../operation.ts'
import { documentExample, policyDocument } from '../policy-view.ts'

const presetView = z
  .strictObject({ name: z.string(), description: z.string(), document: policyDocument })
  .meta({ id: 'PolicyPreset' })

export const policiesPresets = defineOperation({
  id: 'policies.presets',
  method: 'get',
  path: '/api/v2/policies/presets',
  summary: 'List policies to begin with',
  description: 'Each with tests that say what it is for. Create one as it is, or change it first.',
  scopes: ['policies:read'],
  query: z.strictObject({
    namespace: z
      .string()
      .max(256)
      .exactOptional()
      .meta({ description: 'Levels in front of every topic, such as acme/site-1; empty for none' }),
  }),
  data: z.array(presetView),
  example: {
    data: [{ name: 'plant', description: 'Every key publishes below its own name.', document: documentExample }],
  },
  statuses: [200],
  errors: [],
  async handle(_services, { query }) {
    const presets = presetNames.map((name) => ({
      name,
      description: describePreset(name),
      document: { ...preset(name, query) },
    }))
    return { data: presets }
  },
})
