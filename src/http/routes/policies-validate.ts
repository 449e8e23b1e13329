import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { documentExample, policyDocument, policyProblem } from '../policy-view.ts'

const verdict = z
  .strictObject({
    valid: z.boolean().meta({ description: 'Whether it could decide: no problem, and no test fails' }),
    problems: z.array(policyProblem).meta({ description: 'At most 100; tests that failed are among them' }),
    warnings: z
      .array(z.strictObject({ path: z.string(), code: z.string(), message: z.string() }))
      .meta({ description: 'What is allowed, but rarely meant; at most 100' }),
    rules: z.int().min(0),
    tests: z.strictObject({ run: z.int().min(0), failed: z.int().min(0) }),
  })
  .meta({ id: 'PolicyVerdict' })

export const policiesValidate = defineOperation({
  id: 'policies.validate',
  method: 'post',
  path: '/api/v2/policies/validate',
  summary: 'Check a policy document',
  description: 'Finds every problem, runs the tests in it, and looks for what is rarely meant. Stores nothing.',
  scopes: ['policies:read'],
  body: z.strictObject({ document: policyDocument }),
  data: verdict,
  example: {
    body: { document: documentExample },
    data: { valid: true, problems: [], warnings: [], rules: 1, tests: { run: 2, failed: 0 } },
  },
  statuses: [200],
  errors: ['policy.invalid', 'rate.limited'],
  async handle({ policies }, { caller, body }) {
    const { problems, failedTests, failed, warnings, rules, tests } = await policies.validate(
      caller.tenantId,
      body.document,
    )
    const all = [...problems, ...failedTests]
    return {
      data: {
        valid: all.length === 0,
        problems: all.map(({ path, message }) => ({ path, message })),
        warnings: warnings.map(({ path, code, message }) => ({ path, code, message })),
        rules,
        tests: { run: tests, failed },
      },
    }
  },
})
