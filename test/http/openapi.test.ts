import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type SpecData, Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { createOpenApiDocument } from '#src/http/openapi-document.ts'
import { operations } from '#src/http/operations.ts'

interface Described {
  'x-plaintext'?: { schema: { $ref: string }; example: object }
}

test('openapi.json is what the code says', async () => {
  await promisify(execFile)(process.execPath, ['scripts/generate-openapi.ts', '--check'])
})

test('the document is valid OpenAPI 3.1', async () => {
  const result = await new Validator().validate(structuredClone(createOpenApiDocument('0.0.0')) as unknown as SpecData)
  assert.deepEqual(result.errors ?? [], [])
  assert.equal(result.valid, true)
})

test('no response schema is empty or open', () => {
  const document = createOpenApiDocument('0.0.0')
  let objects = 0
  const walk = (value: unknown, where: string): void => {
    if (typeof value !== 'object' || value === null) return
    const schema = value as { type?: unknown; properties?: unknown; additionalProperties?: unknown }
    if (schema.type === 'object') {
      objects++
      assert.ok(schema.properties !== undefined || schema.additionalProperties !== undefined, `${where} says nothing`)
      if (schema.properties !== undefined) assert.equal(schema.additionalProperties, false, `${where} is open`)
    }
    for (const [name, inner] of Object.entries(value)) walk(inner, `${where}/${name}`)
  }
  for (const [name, schema] of Object.entries(document.components?.schemas ?? {})) {
    if (name !== 'JsonObject') walk(schema, name) // the caller's own object
  }
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(item)) walk(operation.responses, `${method} ${path}`)
  }
  assert.ok(objects > 30, `looked at ${objects} objects`)
})

test('every example fits its schema', () => {
  assert.ok(operations.length >= 20)
  for (const { id, data, body, example } of operations) {
    assert.ok(
      data.safeParse(example.data).success,
      `${id}: data ${JSON.stringify(data.safeParse(example.data).error?.issues)}`,
    )
    if (body && example.body !== undefined) assert.ok(body.safeParse(example.body).success, `${id}: body`)
  }
})

test('every enveloped operation says what its plaintext holds, and its example fits', () => {
  const document = createOpenApiDocument('0.0.0')
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  ajv.addSchema(document, 'openapi')
  let found = 0
  for (const { id, method, path, enveloped } of operations) {
    const described = document.paths?.[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method] as unknown as Described
    assert.equal(described['x-plaintext'] !== undefined, enveloped === true, id)
    if (!described['x-plaintext']) continue
    found++
    const { schema, example } = described['x-plaintext']
    const name = schema.$ref.split('/').at(-1) ?? ''
    assert.match(name, /^[A-Za-z0-9._-]+$/)
    const validate = ajv.compile({ $ref: `openapi${schema.$ref}` })
    assert.ok(validate(example), `${id}: ${ajv.errorsText(validate.errors)}`)
    assert.ok(!validate({ ...example, data: {} }), `${id}: anything fits`)
    assert.ok(!validate({ ...example, extra: 1 }), `${id}: it is open`)
  }
  assert.ok(found >= 2)
})

test('every parameter that an operation reads from path and query is documented; Envelope-Version where it is taken', () => {
  const document = createOpenApiDocument('0.0.0')
  let found = 0
  for (const { id, path, method, params, query, enveloped, handsOutKeys } of operations) {
    const { parameters = [] } = document.paths?.[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method] ?? assert.fail(id)
    const named = (place: string) =>
      (parameters as { in: string; name: string }[]).filter((one) => one.in === place).map(({ name }) => name)
    assert.deepEqual(named('path').toSorted(), Object.keys(params?.shape ?? {}).toSorted(), id)
    assert.deepEqual(named('query').toSorted(), Object.keys(query?.shape ?? {}).toSorted(), id)
    assert.equal(named('header').includes('Envelope-Version'), enveloped === true && handsOutKeys !== true, id)
    found += named('query').length
  }
  assert.ok(found > 10)
})

test('every operation id is unique and says its capability', () => {
  const ids = operations.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, /^[a-z_]+\.[a-z]+$/)
})
