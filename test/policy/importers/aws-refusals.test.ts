import { test } from 'node:test'
import { ARN } from './aws-model.ts'
import { assertRefused } from './imported.ts'

const one = (members: object) => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'iot:Publish', Resource: `${ARN}topic/a`, ...members }],
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['a condition', one({ Condition: { Bool: { x: 'true' } } }), 'Statement[0].Condition', /cannot be expressed/],
  ['NotAction', one({ NotAction: 'iot:Publish' }), 'Statement[0].NotAction', /cannot be expressed/],
  ['NotResource', one({ NotResource: '*' }), 'Statement[0].NotResource', /cannot be expressed/],
  [
    'a variable that is not known',
    one({ Resource: `${ARN}topic/\${iot:Connection.Thing.ThingName}` }),
    'Statement[0].Resource[0]',
    /known are iot:ClientId/,
  ],
  [
    'a variable without end',
    one({ Resource: `${ARN}topic/\${iot:ClientId` }),
    'Statement[0].Resource[0]',
    /without its \}/,
  ],
  ['a resource that is no ARN', one({ Resource: 'topic/a' }), 'Statement[0].Resource[0]', /no ARN/],
  ['a resource of several kinds', one({ Resource: `${ARN}topic*` }), 'Statement[0].Resource[0]', /several kinds/],
  ['a resource of another service', one({ Resource: 'arn:aws:s3:::topic/a' }), 'Statement[0].Resource[0]', /no ARN/],
  [
    'a variable beside text in a client',
    one({ Action: 'iot:Connect', Resource: `${ARN}client/a-\${iot:ClientId}` }),
    'Statement[0].Resource[0]',
    /alone/,
  ],
  ['the older version', { ...one({}), Version: '2008-10-17' }, 'Version', /2012-10-17/],
  ['an effect that is none', one({ Effect: 'allow' }), 'Statement[0].Effect', /"Allow" or "Deny"/],
  [
    'a statement without action',
    { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Resource: '*' }] },
    'Statement[0].Action',
    /required/,
  ],
  ['a misspelt member', one({ Resources: [] }), 'Statement[0].Resources', /did you mean Resource/],
  [
    'an action that is a pattern beyond reason',
    one({ Action: `iot:${'*a'.repeat(30)}` }),
    'Statement[0].Action[0]',
    /no action/,
  ],
]
for (const [name, input, at, message] of wrong)
  test(`aws refuses ${name}`, () => assertRefused('aws', input, at, message))
