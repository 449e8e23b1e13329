import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type BlockedClient,
  type BlockedType,
  createJudge,
  MAX_VALUE_BYTES,
  type Subject,
  UNREADABLE_ADDRESS,
  valueProblem,
} from '#src/identity/blocked/blocked-client.ts'

const entry = (type: BlockedType, value: string, id = `blk_${type}`): BlockedClient => ({
  id,
  tenantId: 'ten_1',
  type,
  value,
  description: '',
  createdAt: new Date(0),
  createdBy: 'key_1',
  expiresAt: null,
})

const cases: readonly { type: BlockedType; value: string; subject: Subject; blocks: boolean; why: string }[] = [
  { type: 'client_id', value: 'c1', subject: { clientId: 'c1' }, blocks: true, why: 'the same client id' },
  { type: 'client_id', value: 'c1', subject: { clientId: 'C1' }, blocks: false, why: 'another case' },
  { type: 'client_id', value: 'c1', subject: { clientId: 'c1 ' }, blocks: false, why: 'a longer one' },
  {
    type: 'client_id',
    value: 'u1',
    subject: { clientId: 'c', username: 'u1' },
    blocks: false,
    why: 'it is a username',
  },
  { type: 'username', value: 'u1', subject: { clientId: 'c', username: 'u1' }, blocks: true, why: 'the same username' },
  { type: 'username', value: 'u1', subject: { clientId: 'u1' }, blocks: false, why: 'no username is shown' },
  {
    type: 'username',
    value: '__proto__',
    subject: { clientId: 'c', username: 'toString' },
    blocks: false,
    why: 'a prototype',
  },
  {
    type: 'ip',
    value: '192.0.2.7',
    subject: { clientId: 'c', ip: '192.0.2.7' },
    blocks: true,
    why: 'the same address',
  },
  {
    type: 'ip',
    value: '192.0.2.7',
    subject: { clientId: 'c', ip: '192.0.2.70' },
    blocks: false,
    why: 'a longer address',
  },
  { type: 'ip', value: '192.0.2.7', subject: { clientId: 'c', ip: '::ffff:192.0.2.7' }, blocks: true, why: 'mapped' },
  {
    type: 'ip',
    value: '192.0.2.7',
    subject: { clientId: 'c', ip: '::ffff:c000:207' },
    blocks: true,
    why: 'mapped in hexadecimal',
  },
  { type: 'ip', value: '192.0.2.0/24', subject: { clientId: 'c', ip: '192.0.2.255' }, blocks: true, why: 'in the net' },
  {
    type: 'ip',
    value: '192.0.2.0/24',
    subject: { clientId: 'c', ip: '192.0.3.0' },
    blocks: false,
    why: 'beside the net',
  },
  {
    type: 'ip',
    value: '2001:db8::/32',
    subject: { clientId: 'c', ip: '2001:DB8:0::1' },
    blocks: true,
    why: 'another spelling',
  },
  { type: 'ip', value: '::/0', subject: { clientId: 'c', ip: '192.0.2.7' }, blocks: false, why: 'the other family' },
  { type: 'ip', value: '192.0.2.7', subject: { clientId: 'c' }, blocks: false, why: 'no address is known' },
  {
    type: 'client_id_regex',
    value: 'press-\\d+',
    subject: { clientId: 'press-44' },
    blocks: true,
    why: 'the whole matches',
  },
  {
    type: 'client_id_regex',
    value: 'press-\\d+',
    subject: { clientId: 'xpress-44' },
    blocks: false,
    why: 'only its end matches',
  },
  {
    type: 'client_id_regex',
    value: 'press-\\d+',
    subject: { clientId: 'press-44\n' },
    blocks: false,
    why: 'a line break more',
  },
  { type: 'client_id_regex', value: '(?i)press', subject: { clientId: 'PRESS' }, blocks: true, why: 'without case' },
  {
    type: 'username_regex',
    value: 'tmp-.*',
    subject: { clientId: 'c', username: 'tmp-1' },
    blocks: true,
    why: 'a username',
  },
  {
    type: 'username_regex',
    value: 'tmp-.*',
    subject: { clientId: 'tmp-1' },
    blocks: false,
    why: 'no username is shown',
  },
  {
    type: 'username_regex',
    value: 'x',
    subject: { clientId: 'c', username: 'a'.repeat(2_000) },
    blocks: true,
    why: 'too long to be judged',
  },
]
for (const { type, value, subject, blocks, why } of cases) {
  test(`blocked ${type} ${value} ${blocks ? 'refuses' : 'lets pass'} ${JSON.stringify(subject).slice(0, 80)}: ${why}`, () => {
    assert.equal(valueProblem(type, value), undefined)
    assert.equal(createJudge([entry(type, value)])(subject), blocks ? `blk_${type}` : undefined)
  })
}

test('an address that is none is refused as soon as any address is blocked, and only then', () => {
  const subject = { clientId: 'c', ip: '192.0.2.7:1883' }
  assert.equal(createJudge([entry('ip', '198.51.100.1')])(subject), UNREADABLE_ADDRESS)
  assert.equal(createJudge([entry('client_id', 'other')])(subject), undefined)
  assert.equal(createJudge([])(subject), undefined)
})

test('an expression that is no longer understood keeps refusing', () => {
  assert.equal(createJudge([entry('username_regex', '(')])({ clientId: 'c', username: 'u' }), 'blk_username_regex')
})

test('any of several entries is enough, and the id tells which one', () => {
  const judge = createJudge([
    entry('client_id', 'c1', 'blk_a'),
    entry('client_id', 'c2', 'blk_b'),
    entry('ip', '10.0.0.0/8', 'blk_c'),
  ])
  assert.equal(judge({ clientId: 'c2' }), 'blk_b')
  assert.equal(judge({ clientId: 'c3', ip: '10.9.9.9' }), 'blk_c')
  assert.equal(judge({ clientId: 'c3', ip: '11.9.9.9' }), undefined)
})

test('of many nets the one that holds the address blocks, of either family and any length', () => {
  const nets = Array.from({ length: 3_000 }, (_, i) =>
    entry(
      'ip',
      i % 2 === 0 ? `10.${(i >> 8) & 255}.${i & 255}.0/${24 + (i % 8)}` : `2001:db8:${i.toString(16)}::/48`,
      `blk_${i}`,
    ),
  )
  const judge = createJudge(nets)
  for (const [i, { value, id }] of nets.entries()) {
    const address = value.replace(/\/.*/, '').replace(/::$/, '::7')
    assert.equal(judge({ clientId: 'c', ip: address }), id)
    assert.equal(judge({ clientId: 'c', ip: i % 2 === 0 ? `10.200.${i & 255}.1` : `2001:db9:${i}::1` }), undefined)
  }
  assert.equal(createJudge([entry('ip', '0.0.0.0/0')])({ clientId: 'c', ip: '192.0.2.1' }), 'blk_ip')
  assert.equal(createJudge([entry('ip', '::ffff:10.0.0.0/104')])({ clientId: 'c', ip: '10.9.9.9' }), 'blk_ip')
})

test('ten thousand nets cost a client hardly more than ten', () => {
  const microsOf = (count: number) => {
    const judge = createJudge(
      Array.from({ length: count }, (_, i) => entry('ip', `10.${i >> 8}.${i & 255}.0/24`, `blk_${i}`)),
    )
    const times = Array.from({ length: 20 }, () => {
      const started = process.threadCpuUsage()
      for (let i = 0; i < 100; i++) judge({ clientId: 'c', ip: '192.0.2.1' })
      const { user, system } = process.threadCpuUsage(started)
      return user + system
    })
    return Math.min(...times)
  }
  const [few, many] = [microsOf(10), microsOf(10_000)]
  assert.ok(many <= 20 * few + 1_000, `${many} µs against ${few} µs for a hundred clients`)
})

test('expressions that are exponential elsewhere take no time: a hundred of them, on the longest name that is judged', () => {
  const entries = Array.from({ length: 100 }, (_, i) => entry('client_id_regex', `(a+)+(a|aa)*b{${i + 1}}`, `blk_${i}`))
  const judge = createJudge(entries)
  const started = process.threadCpuUsage()
  assert.equal(judge({ clientId: `${'a'.repeat(1_000)}!` }), undefined)
  const { user, system } = process.threadCpuUsage(started)
  assert.ok(user + system < 1_000_000, `${user + system} µs`)
})

test('a list whose expressions would keep the process busy refuses, in tens of milliseconds', () => {
  const costly = (i: number) => entry('client_id_regex', `(.*a.{20}){20}.{${i + 1}}z`, `blk_${i}`)
  const judge = createJudge(Array.from({ length: 100 }, (_, i) => costly(i)))
  const unlike = () => Array.from({ length: 1_024 }, () => (Math.random() < 0.5 ? 'a' : 'b')).join('')
  const times = Array.from({ length: 5 }, () => {
    const started = process.threadCpuUsage()
    assert.match(judge({ clientId: unlike() }) ?? '', /^blk_/)
    const { user, system } = process.threadCpuUsage(started)
    return (user + system) / 1_000
  })
  assert.ok(Math.min(...times) < 150, `${times.join(', ')} ms`)
})

test('a hundred ordinary expressions leave in whom they do not match, the first client too', () => {
  const judge = createJudge(
    Array.from({ length: 100 }, (_, i) => entry('client_id_regex', `(?i)(tmp|test)-[0-9a-f]{8}-.*-${i}x?`, `blk_${i}`)),
  )
  for (let i = 0; i < 50; i++) assert.equal(judge({ clientId: `press-${i}-${'ab-'.repeat(300)}` }), undefined)
  assert.equal(judge({ clientId: 'TEST-0a1b2c3d-line-77' }), 'blk_77')
})

test('a long token in the place of a username is no name; any other long text counts as matched', () => {
  const judge = createJudge([entry('username_regex', 'pre.*')])
  const token = `${'a'.repeat(100)}.${'b'.repeat(1_000)}.${'c'.repeat(86)}`
  assert.equal(judge({ clientId: 'c', username: token }), undefined)
  assert.equal(judge({ clientId: 'c', username: `${token}.d` }), 'blk_username_regex')
  assert.equal(judge({ clientId: 'c', username: 'press' }), 'blk_username_regex')
  assert.equal(createJudge([entry('client_id_regex', 'pre.*')])({ clientId: token }), 'blk_client_id_regex')
})

const problems: readonly { type: BlockedType; value: string; says: RegExp }[] = [
  { type: 'client_id', value: '', says: /1 to 512 bytes/ },
  { type: 'client_id', value: 'ü'.repeat(MAX_VALUE_BYTES / 2 + 1), says: /1 to 512 bytes/ },
  { type: 'client_id', value: 'a\0b', says: /without NUL/ },
  { type: 'username', value: 'a\ud800', says: /well-formed/ },
  { type: 'ip', value: '192.0.2', says: /IP address or a net/ },
  { type: 'ip', value: '192.0.2.7/33', says: /IP address or a net/ },
  { type: 'ip', value: '192.0.2.*', says: /IP address or a net/ },
  { type: 'client_id_regex', value: '(a', says: /at character/ },
  { type: 'client_id_regex', value: '(?=a)b', says: /at character/ },
  { type: 'username_regex', value: '(a)\\1', says: /at character/ },
  { type: 'username_regex', value: '(a{1000}){1000}', says: /at character/ },
]
for (const { type, value, says } of problems) {
  test(`blocked ${type} ${JSON.stringify(value).slice(0, 40)} is no value: ${says.source}`, () => {
    assert.match(valueProblem(type, value) ?? '', says)
  })
}
