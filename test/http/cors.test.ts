import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createOpenApiDocument } from '#src/http/openapi-document.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'

const ORIGIN = 'https://pages.example'
let api: ApiServer

before(async () => {
  api = await startApiServer({ CORS_ORIGINS: ORIGIN })
})
after(() => api.close())

const list = (answer: Response, name: string) => (answer.headers.get(name) ?? '').toLowerCase().split(', ')
const entries = (method: string, headers: Record<string, string>) =>
  fetch(`${api.url}/api/v2/vault/entries`, { method, headers: { 'x-api-key': api.ownerKey, ...headers } })

test('pages of a listed origin may call the API and read its headers, pages of another may not', async () => {
  const listed = await entries('GET', { origin: ORIGIN })
  assert.equal(listed.headers.get('access-control-allow-origin'), ORIGIN)
  for (const origin of ['https://other.example', `${ORIGIN}.example`, 'null']) {
    const answer = await entries('GET', { origin })
    assert.equal(answer.headers.get('access-control-allow-origin'), null)
    assert.equal(answer.headers.get('vary'), 'Origin')
  }
})

test('every header that the document names may be sent by a page, or read by it', async () => {
  const ask = { origin: ORIGIN, 'access-control-request-method': 'POST' }
  const answer = await entries('OPTIONS', ask)
  assert.equal(answer.status, 204)
  const sent = new Set<string>()
  const read = new Set<string>()
  for (const item of Object.values(createOpenApiDocument('0.0.0').paths ?? {})) {
    for (const { parameters = [], responses = {} } of [item.get, item.post, item.patch, item.delete].filter(
      (operation) => operation !== undefined,
    )) {
      for (const one of parameters) if ('in' in one && one.in === 'header') sent.add(one.name.toLowerCase())
      for (const { headers = {} } of Object.values(responses) as { headers?: object }[])
        for (const name of Object.keys(headers)) read.add(name.toLowerCase())
    }
  }
  read.delete('www-authenticate') // says nothing that the status does not
  assert.ok(sent.size >= 5 && read.size >= 4)
  for (const name of sent) assert.ok(list(answer, 'access-control-allow-headers').includes(name), name)
  for (const name of read) assert.ok(list(answer, 'access-control-expose-headers').includes(name), name)
})
