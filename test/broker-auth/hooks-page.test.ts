// openapi/broker-hooks.md is what operators copy from: its sections are configurations that start, its addresses are answered, and its
// table says what the failures are tested to be.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseBrokerAuthConfig } from '#src/broker-auth/config.ts'
import { dialects } from '#src/broker-auth/create-broker-auth.ts'
import { dialectNames } from '#src/broker-auth/dialect.ts'
import { settings } from './dialects/asking.ts'
import { brokers, type Failure } from './failure-cases.ts'

const page = readFileSync(new URL('../../openapi/broker-hooks.md', import.meta.url), 'utf8')
const ids = (text: string) =>
  text.replaceAll('ten_…', 'ten_01kea000000000000000000000').replaceAll('pol_…', 'pol_01kea000000000000000000000')

test('every section of a hook on the page is one that the server starts with', () => {
  const blocks = [...page.matchAll(/^```json\n([\s\S]+?)^```$/gm)].map(([, text = '']) => JSON.parse(ids(text)))
  const whole = blocks.find((block) => block.version === 1)
  assert.ok(whole)
  const sections = blocks.filter((block) => block.dialect !== undefined)
  const config = parseBrokerAuthConfig(JSON.stringify({ ...whole, hooks: [...whole.hooks, ...sections] }))
  assert.deepEqual(new Set(config.hooks.map(({ dialect }) => dialect)), new Set(dialectNames))
})

test('every address on the page is one that its dialect knows', () => {
  const found = new Set<string>()
  for (const [, name = '', path = ''] of page.matchAll(
    /\/mqtt\/hooks\/(emqx|rabbitmq|tbmq|vernemq)\/(?:SECRET\/)?(\w+)/g,
  )) {
    const dialect = dialects[name as keyof typeof dialects](settings)
    const question = dialect.parse({ method: 'POST', path: `/${path}`, query: '', headers: {}, body: new Uint8Array() })
    assert.ok(question.kind === 'malformed' && question.route !== 'path', `${name} ${path}`)
    found.add(`${name} ${path}`)
  }
  assert.equal(found.size, 2 + 4 + 1 + 6, [...found].join(', '))
})

const rows: Readonly<Record<Failure, string>> = {
  'unknown user': 'unknown user, wrong password, blocked',
  revoked: 'revoked while connected',
  malformed: 'malformed question',
  oversize: 'question over 256 KiB',
  stranger: 'wrong secret',
  down: 'who decides is out of reach',
  slow: 'not known within `deadline_ms`',
}

test('the table of failures says what each broker is told', () => {
  const cellsOf = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const lines = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map(cellsOf)
  const names = lines.find(([first, second]) => first === '' && second === 'mosquitto-go-auth')?.slice(1)
  assert.deepEqual(names, ['mosquitto-go-auth', 'EMQX', 'RabbitMQ', 'TBMQ', 'VerneMQ'])
  let compared = 0
  for (const [failure, title] of Object.entries(rows) as [Failure, string][]) {
    const cells = lines.find(([first]) => first === title)?.slice(1)
    assert.ok(cells, `no row ${title}`)
    for (const [i, { dialect, told }] of brokers.entries()) {
      if (dialect === 'tbmq' && failure === 'revoked') continue // the broker does not ask
      const said: RegExpExecArray | null = /^(\d{3})(?: `(\w+)`)?/.exec(cells[i] ?? '')
      const word = said?.[2]
      assert.equal(Number(said?.[1]), told[failure].status, `${title}, ${dialect}`)
      if (word !== undefined) assert.match(told[failure].body, new RegExp(`\\b${word}\\b`), `${title}, ${dialect}`)
      compared++
    }
  }
  assert.equal(compared, 34)
})
