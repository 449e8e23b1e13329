import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { assertRefused, hasNote, imported } from './imported.ts'
import { type AclLine, aclText, mosquittoAllows } from './mosquitto-model.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = levelTexts(['a', 'c1', 'bob', '', '$s'], 3)
const filters = filterTexts(['a', 'c1', '$s'], 3)
const topics = filterTexts(['a', 'c1', 'bob', '$s'], 3)
const patternTopics = filterTexts(['a', '%c', '%u', '$s'], 3)
const access = fc.constantFrom('read' as const, 'write' as const, 'readwrite' as const, 'deny' as const)
const topicLine: fc.Arbitrary<AclLine> = fc.record({
  kind: fc.constant('topic'),
  user: fc.constantFrom('bob', 'eve'),
  access,
  topic: fc.constantFrom(...topics),
})
const anonymousLine: fc.Arbitrary<AclLine> = fc.record({
  kind: fc.constant('topic'),
  access,
  topic: fc.constantFrom(...topics),
})
const patternLine: fc.Arbitrary<AclLine> = fc.record({
  kind: fc.constant('pattern'),
  access,
  topic: fc.constantFrom(...patternTopics),
})
const files = fc
  .tuple(fc.array(anonymousLine, { maxLength: 2 }), fc.array(fc.oneof(topicLine, patternLine), { maxLength: 6 }))
  .map(([anonymous, lines]) => [...anonymous, ...lines])

const plain: readonly Identity[] = [
  { clientId: 'c1', username: 'bob' },
  { clientId: 'a', username: 'eve' },
  { clientId: 'c1' },
]
const odd: readonly Identity[] = [
  { clientId: 'c1/a', username: 'bob' },
  { clientId: 'a/c1', username: 'a/bob' },
  { clientId: '#', username: 'bob' },
  { clientId: 'c1', username: '+' },
  { clientId: '$s', username: 'bob' },
]

test('an imported file decides every publish and delivery as Mosquitto does, and delivers the same', (t) => {
  let filtered = 0
  forEvery(t, files, 250, (lines) => {
    const policy = imported('mosquitto', aclText(lines))
    for (const who of plain) {
      const subject = policy.as(who)
      const readable = new Set(names.filter((name) => mosquittoAllows(lines, who, 'read', name)))
      for (const name of names) {
        assert.equal(
          subject.allows('publish', name),
          mosquittoAllows(lines, who, 'write', name),
          `write ${name} by ${aclText(lines)}`,
        )
        assert.equal(subject.allows('receive', name), readable.has(name), `read ${name} by ${aclText(lines)}`)
      }
      for (const filter of filters) {
        const { decision, reason } = subject.decide('subscribe', filter)
        const inside = names.filter((name) => stands(filter, name))
        // Granted without a check of deliveries: everything inside may be read.
        if (decision === 'allow' && reason !== 'filtered')
          assert.ok(
            inside.every((name) => readable.has(name)),
            filter,
          )
        if (reason === 'filtered') filtered++
      }
    }
    for (const who of odd) {
      const subject = policy.as(who)
      for (const name of names) {
        if (subject.allows('publish', name))
          assert.ok(
            mosquittoAllows(lines, who, 'write', name),
            `write ${name} of ${JSON.stringify(who)} by ${aclText(lines)}`,
          )
        if (subject.allows('receive', name))
          assert.ok(
            mosquittoAllows(lines, who, 'read', name),
            `read ${name} of ${JSON.stringify(who)} by ${aclText(lines)}`,
          )
      }
    }
  })
  t.diagnostic(`${filtered} subscriptions filtered`)
  assert.ok(filtered > 500)
})

test('a subscription to what is granted in part is filtered, and without a check of deliveries refused', () => {
  const policy = imported('mosquitto', 'user bob\ntopic read a/b\n')
  const bob = { username: 'bob', clientId: 'x' }
  assert.equal(policy.as(bob).decide('subscribe', 'a/#').reason, 'filtered')
  assert.equal(policy.as(bob, false).decide('subscribe', 'a/#').decision, 'deny')
  assert.equal(policy.as(bob).decide('subscribe', 'z/#').decision, 'deny')
  assert.ok(hasNote(policy, 'stricter', ''))
})

test('the lines of a user come before the patterns, and a deny before grants', () => {
  const subject = imported(
    'mosquitto',
    'pattern deny a/#\npattern read b/#\nuser bob\ntopic read a/x\ntopic deny b/x\ntopic read b/x\n',
  ).as({ username: 'bob', clientId: 'c' })
  assert.equal(subject.decide('receive', 'a/x').rule, 'line-4')
  assert.equal(subject.decide('receive', 'a/y').rule, 'line-1')
  assert.equal(subject.decide('receive', 'b/x').rule, 'line-5')
  assert.equal(subject.decide('receive', 'b/y').rule, 'line-2')
})

test('a deny with an id in it holds for ids that are no level', () => {
  const policy = imported(
    'mosquitto',
    'pattern deny %c/#\npattern deny d/%c/x\npattern readwrite $a/#\npattern readwrite #\n',
  )
  for (const [clientId, topic] of [
    ['c', 'c/x'],
    ['$a', '$a/x'],
    ['$a/b', '$a/b/x'],
    ['a/b', 'a/b/x'],
    ['a/b', 'd/a/b/x'],
  ] as const)
    assert.ok(!policy.as({ clientId }).allows('publish', topic), `${clientId}: ${topic}`)
  assert.ok(
    policy.as({ clientId: 'c' }).allows('publish', '$a/x') && policy.as({ clientId: 'c' }).allows('publish', 'd/e/x'),
  )
})

test('spelling: comments, blanks, access left out, spaces in names and topics', () => {
  const text =
    '\ufeff# a comment\r\n\r\n   \r\ntopic read\r\nuser  Ann Lee \r\ntopic  a/b  \r\ntopic write x y/#\r\ntopic read %c/z\r\n'
  const policy = imported('mosquitto', text)
  const ann = policy.as({ username: 'Ann Lee', clientId: 'c' })
  assert.ok(
    ann.allows('publish', 'a/b') &&
      ann.allows('receive', 'a/b') &&
      ann.allows('publish', 'x y/z') &&
      !ann.allows('receive', 'x y/z'),
  )
  assert.ok(ann.allows('receive', '%c/z') && !ann.allows('receive', 'c/z'), 'only a pattern puts ids in')
  assert.ok(policy.as({ clientId: 'c' }).allows('publish', 'read'), 'a word that stands alone is the topic')
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['a line that is none', 'acl_file x', 'line 1', /user, topic or pattern/],
  ['an access that is none', 'topic a\ntopic rw a/b', 'line 2', /read, write, readwrite or deny/],
  ['a topic that is missing', 'topic', 'line 1', /no topic/],
  ['a user that is missing', 'user', 'line 1', /no user/],
  ['# before the end', 'topic read a/#/b', 'line 1', /last level/],
  ['an id inside a level', 'pattern read dev-%c/#', 'line 1', /whole level/],
  ['a comment behind a blank', ' # x', 'line 1', /begins with "#"/],
  ['a tab as separator', 'topic\tread a', 'line 1', /begins with/],
  ['what is no text', { topic: 'a' }, '', /must be text/],
]
for (const [name, input, at, message] of wrong)
  test(`mosquitto refuses ${name}`, () => assertRefused('mosquitto', input, at, message))
