import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { readSource } from '#test/arch/read-source.ts'

test('the second reader imports nothing but itself and modules of Node', () => {
  const files = fs.readdirSync(import.meta.dirname).filter((name) => !name.endsWith('.test.ts'))
  assert.ok(files.length >= 7)
  for (const file of files) {
    const { imports, computedImport } = readSource(fs.readFileSync(`${import.meta.dirname}/${file}`, 'utf8'), file)
    assert.ok(imports.length > 0 || file === 'decode.ts', file)
    assert.equal(computedImport, false, file)
    const foreign = imports.filter((name) => !/^(node:[a-z]+|\.\/[a-z0-9-]+\.ts)$/.test(name))
    assert.deepEqual(foreign, [], file)
    const siblings = imports.filter((name) => name.startsWith('./')).map((name) => name.slice(2))
    for (const sibling of siblings) assert.ok(files.includes(sibling), `${file} imports ${sibling}`)
  }
})
