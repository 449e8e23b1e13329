import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { configNames, parseConfig } from '#src/config/config.ts'
import { median, replaceBetweenMarkers } from '../../scripts/bench/report.ts'
import { renderSigning, renderTargets } from '../../scripts/bench/signing/render.ts'
import { renderStart } from '../../scripts/bench/start.ts'

const read = (file: string) => fs.readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8')
const readme = read('README.md')

test('the README lists every variable of the configuration and no other', () => {
  const [, table = ''] = /^## Configuration\n([\s\S]*?)^## /m.exec(readme) ?? []
  const rows = [...table.matchAll(/^\| (`[A-Z][^|]*) \|/gm)].map(([, names = '']) => names)
  const listed = rows.flatMap((names) => [...names.matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name))
  assert.ok(listed.length > 15)
  assert.deepEqual(new Set(listed), new Set(configNames))
})

test('the defaults that the README gives are those of the code', () => {
  const config = parseConfig({})
  const cases: readonly [name: string, value: string][] = [
    ['`HOST`, `PORT`', `${config.HOST}, ${config.PORT}`],
    ['`DATA_DIR`', `\`${config.DATA_DIR}\``],
    ['`KMS_PROVIDER`', `\`${config.KMS_PROVIDER}\``],
    ['`CRYPTO_PROVIDER`', `\`${config.CRYPTO_PROVIDER}\``],
    ['`SIGNER_QUEUE_MAX`', String(config.SIGNER_QUEUE_MAX)],
    ['`POOL_MAX_CONNECTIONS`, `POOL_IDLE_MS`', `${config.POOL_MAX_CONNECTIONS}, ${config.POOL_IDLE_MS}`],
    ['`STOP_NOTICE_MS`', String(config.STOP_NOTICE_MS)],
    ['`BROKER_CONNECT_TIMEOUT_MS`', String(config.BROKER_CONNECT_TIMEOUT_MS)],
    ['`REQUEST_DEADLINE_MS`', String(config.REQUEST_DEADLINE_MS)],
  ]
  for (const [names, value] of cases) assert.ok(readme.includes(`| ${names} | ${value} |`), `${names}: ${value}`)
})

test('every npm script that the README names exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = [...readme.matchAll(/npm (?:run )?([a-z:]+)/g)]
    .map(([, name = '']) => name)
    .filter((name) => !['ci', 'and', 'init', 'install'].includes(name))
  assert.ok(named.length > 6)
  assert.deepEqual(
    named.filter((name) => scripts[name] === undefined),
    [],
  )
})

test('figures go between the markers of a text and nowhere else', () => {
  const text = 'before\n<!-- bench:a:start -->\nold\n<!-- bench:a:end -->\nafter\n'
  const once = replaceBetweenMarkers(text, 'a', 'new')
  assert.equal(once, 'before\n<!-- bench:a:start -->\nnew\n<!-- bench:a:end -->\nafter\n')
  assert.equal(replaceBetweenMarkers(once, 'a', 'new'), once)
  assert.throws(() => replaceBetweenMarkers(text, 'b', 'new'), /bench:b:start/)
  for (const part of ['start', 'signing', 'envelope', 'policy'])
    assert.notEqual(replaceBetweenMarkers(readme, part, 'new'), readme)
})

test('the median is the middle of an odd number of values and the mean of the middle two of an even one', () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([1, 9, 5, 7]), 6)
  assert.throws(() => median([]), RangeError)
})

test('the figures of a start name machine and day', () => {
  const measured = { firstStartMs: 999, startMs: 321.4, serverMiB: 100, postgresMiB: null }
  const text = renderStart({ date: '2026-01-02T03:04:05Z', machine: 'a machine', ...measured })
  for (const part of ['2026-01-02', 'a machine', '321 ms', '999 ms', '100 MiB']) assert.ok(text.includes(part), part)
})

test('the figures of signing name every program, rounds and connections, and a target that is missed', () => {
  const figures = { p50Ms: 1, p99Ms: 20.2, cpuS: null, batch: null, loopDelayP99Ms: 3 }
  const measurements = ['a', 'b', 'c', 'd', 'e', 'n'].flatMap((letter) =>
    [1, 64, 256].map((connections) => ({ letter, name: `program ${letter}`, connections, perS: 6600.4, ...figures })),
  )
  const profiles = { loop: [{ part: 'router', micros: 0.4 }], crypto: [{ part: 'sealing', micros: 51.7 }] }
  const results = { rounds: 5, measurements, profiles }
  const text = renderSigning(results)
  for (const part of [
    '5 rounds',
    '| a: program a | 6,600 | 1.0 | 20 | – | – | 3.0 |',
    '256 connections',
    '| event loop: router | < 1 |',
    '| crypto thread: sealing | 52 |',
  ])
    assert.ok(text.includes(part), part)
  assert.match(renderTargets(results), /^missed {2}64: b \/ c, requests: 1.00 \(at least 3\)$/m)
  assert.match(renderTargets(results), /^holds {3}64: b \/ a, requests: 1.00 \(at least 0.25\)$/m)
})
