import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { ARN, awsAllows, document, type Statement } from './aws-model.ts'
import { hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = [...levelTexts(['a', 'ab', 'c1', ''], 3), '$aws/a', 'a*b', 'a?', 'a$']
const filters = filterTexts(['a', 'c1'], 3)
const clientIds = ['c1', 'a', 'c1/x']

const text = fc
  .array(
    fc.constantFrom(
      'a',
      'c1',
      '/',
      '/',
      '*',
      '?',
      '+',
      '#',
      '${iot:ClientId}',
      '${*}',
      '${?}',
      '${$}',
      '$aws',
      '.',
      'b',
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((parts) => parts.join(''))
const resource = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom('topic', 'topicfilter'), fc.oneof(text, fc.constantFrom('*', 'a/*', 'a/${iot:ClientId}')))
      .map(([kind, name]) => `${kind}/${name}`),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'client/*',
      'client/c*',
      'client/${iot:ClientId}',
      'client/a',
      'client/?',
      'client/${*}',
    ),
  },
  { weight: 1, arbitrary: fc.constant('*') },
)
const statement: fc.Arbitrary<Statement> = fc.record({
  Effect: fc.constantFrom('Allow', 'Allow', 'Deny'),
  Action: fc.subarray(['iot:Publish', 'iot:RetainPublish', 'iot:Subscribe', 'iot:Receive', 'iot:Connect'], {
    minLength: 1,
  }),
  Resource: fc.array(resource, { minLength: 1, maxLength: 3 }),
})

test('an imported policy decides every topic, filter text and client id as AWS IoT does', (t) => {
  let granted = 0
  forEvery(t, fc.array(statement, { maxLength: 5 }), 200, (statements) => {
    const policy = imported('aws', document(statements))
    for (const clientId of clientIds) {
      const who: Identity = { clientId }
      const subject = policy.as(who)
      const isUsable = !clientId.includes('/') // elsewhere the grants with a variable are left out
      const allows = (action: string, kind: string, name: string) =>
        awsAllows(statements, `iot:${action}`, `${kind}/${name}`, who)
      const same = (actual: boolean, expected: boolean, what: string) =>
        isUsable
          ? assert.equal(actual, expected, `${what} by ${JSON.stringify(statements)}`)
          : assert.ok(!actual || expected, `${what} by ${JSON.stringify(statements)}`)
      for (const name of names) {
        const publishes = allows('Publish', 'topic', name)
        same(subject.allows('publish', name), publishes, `publish ${name}`)
        same(subject.allows('receive', name), allows('Receive', 'topic', name), `receive ${name}`)
        if (subject.allows('publish', name, { retain: true }))
          assert.ok(
            publishes && allows('RetainPublish', 'topic', name),
            `retain ${name} by ${JSON.stringify(statements)}`,
          )
      }
      for (const filter of [...filters, ...names]) {
        same(subject.allows('subscribe', filter), allows('Subscribe', 'topicfilter', filter), `subscribe ${filter}`)
        if (subject.allows('subscribe', filter)) granted++
      }
      assert.equal(
        subject.decide('connect', '').decision === 'allow',
        allows('Connect', 'client', clientId),
        `connect ${clientId} by ${JSON.stringify(statements)}`,
      )
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 300)
})

const one = (members: object) => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'iot:Publish', Resource: `${ARN}topic/a`, ...members }],
})

test('a retained publish needs the action of its own', () => {
  const plain = imported('aws', one({})).as({})
  assert.ok(plain.allows('publish', 'a') && !plain.allows('publish', 'a', { retain: true }))
  const both = imported('aws', one({ Action: ['iot:Publish', 'iot:RetainPublish'] })).as({})
  assert.ok(both.allows('publish', 'a', { retain: true }))
  const wider = imported(
    'aws',
    document([
      { Effect: 'Allow', Action: ['iot:Publish'], Resource: ['topic/a'] },
      { Effect: 'Allow', Action: ['iot:RetainPublish'], Resource: ['*'] },
      { Effect: 'Deny', Action: ['iot:RetainPublish'], Resource: ['topic/a'] },
    ]),
  )
  assert.ok(wider.as({}).allows('publish', 'a') && !wider.as({}).allows('publish', 'a', { retain: true }))
  const elsewhere = imported(
    'aws',
    document([
      { Effect: 'Allow', Action: ['iot:Publish'], Resource: ['topic/a'] },
      { Effect: 'Allow', Action: ['iot:RetainPublish'], Resource: ['topic/a*'] },
    ]),
  )
  assert.ok(
    !elsewhere.as({}).allows('publish', 'a', { retain: true }) && hasNote(elsewhere, 'stricter', 'Statement[0]'),
  )
})

test('filters are texts: a topicfilter of + grants that text and no other filter', () => {
  const subject = imported('aws', one({ Action: 'iot:Subscribe', Resource: `${ARN}topicfilter/a/+` })).as({})
  assert.ok(
    subject.allows('subscribe', 'a/+') && !subject.allows('subscribe', 'a/b') && !subject.allows('subscribe', 'a/#'),
  )
})

test('a deny holds behind a line separator', () => {
  const policy = imported(
    'aws',
    document([
      { Effect: 'Allow', Action: ['iot:Publish'], Resource: ['topic/s/a\u2028b'] },
      { Effect: 'Deny', Action: ['iot:Publish'], Resource: ['topic/s/*'] },
    ]),
  )
  assert.ok(!policy.as({}).allows('publish', 's/a\u2028b'))
})

test('a deny with the client id in it holds for an id that spans levels', () => {
  const policy = imported(
    'aws',
    document([
      { Effect: 'Allow', Action: ['iot:Publish'], Resource: ['*'] },
      { Effect: 'Deny', Action: ['iot:Publish'], Resource: ['topic/d/${iot:ClientId}/x'] },
    ]),
  )
  assert.ok(!policy.as({ clientId: 'a/b' }).allows('publish', 'd/a/b/x'))
  assert.ok(
    !policy.as({ clientId: 'c' }).allows('publish', 'd/c/x') && policy.as({ clientId: 'c' }).allows('publish', 'd/a/x'),
  )
})

test('the common name of a certificate; actions by wildcard; a single statement', () => {
  const policy = imported('aws', {
    Version: '2012-10-17',
    Id: 'x',
    Statement: {
      Sid: 'own',
      Effect: 'Allow',
      Action: 'iot:P*',
      Resource: [`${ARN}topic/d/\${iot:Certificate.Subject.CommonName}`],
    },
  })
  assert.equal(policy.as({ cert: { cn: 'x.y' } }).decide('publish', 'd/x.y').rule, 'own-publish-not-retained')
  assert.ok(!policy.as({ cert: { cn: 'xzy' } }).allows('publish', 'd/x.y'))
})

test('what is about something else is left out and told', () => {
  const policy = imported(
    'aws',
    one({
      Action: ['iot:Publish', 'iot:GetThingShadow'],
      Resource: [`${ARN}thing/x`, `${ARN}topicfilter/a`, `${ARN}topic/a`],
    }),
  )
  for (const path of ['Statement[0].Action[1]', 'Statement[0].Resource[0]', 'Statement[0].Resource[1]'])
    assert.ok(hasNote(policy, 'dropped', path), path)
  assert.equal(policy.document.rules.length, 1)
})
