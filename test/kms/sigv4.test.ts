import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { before, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { createAwsKeyWrapper } from '#src/kms/aws.ts'
import { type SignedRequest, signatureProblem } from '#test/support/sigv4.ts'

const identity = { accessKeyId: 'AKIATEST', secretAccessKey: 'secret', region: 'eu-central-1', service: 'kms' }

/** Has the real SDK sign an Encrypt and returns the request as it arrived. */
async function capture(): Promise<SignedRequest> {
  const captured = Promise.withResolvers<SignedRequest>()
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    captured.resolve({
      method: req.method ?? '',
      target: req.url ?? '',
      headers: req.headers,
      body: Buffer.concat(chunks),
    })
    res.writeHead(400).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { accessKeyId, secretAccessKey, region } = identity
  const wrapper = createAwsKeyWrapper({ region, keyId: 'k', endpoint, credentials: { accessKeyId, secretAccessKey } })
  const context = { tenant_id: 'ten_a', purpose: 'canary' } as const
  await assert.rejects(wrapper.wrap('k', utf8('x'), context), { code: 'kms.unavailable' })
  server.closeAllConnections()
  server.close()
  return captured.promise
}

let request: SignedRequest
before(async () => {
  request = await capture()
})

test('a request as the SDK signed it is good, and was signed over host, date and target', () => {
  assert.equal(signatureProblem(request, identity, Date.now()), undefined)
})

const header = (name: string, value: string) => (r: SignedRequest) => ({
  ...r,
  headers: { ...r.headers, [name]: value },
})
const changes: { what: string; change: (r: SignedRequest) => SignedRequest; problem: RegExp }[] = [
  {
    what: 'the body',
    change: (r) => ({ ...r, body: Buffer.concat([r.body, Buffer.from(' ')]) }),
    problem: /wrong signature/,
  },
  { what: 'the method', change: (r) => ({ ...r, method: 'PUT' }), problem: /wrong signature/ },
  { what: 'the path', change: (r) => ({ ...r, target: '/other' }), problem: /wrong signature/ },
  { what: 'the query', change: (r) => ({ ...r, target: `${r.target}?a=b` }), problem: /wrong signature/ },
  { what: 'the target', change: header('x-amz-target', 'TrentService.Decrypt'), problem: /wrong signature/ },
  { what: 'the host', change: header('host', 'elsewhere'), problem: /wrong signature/ },
  { what: 'the date', change: header('x-amz-date', '20200101T000000Z'), problem: /scope|too long ago/ },
  { what: 'no authorization', change: header('authorization', ''), problem: /no AWS4/ },
]
for (const { what, change, problem } of changes) {
  test(`a signed request with ${what} changed is refused`, () => {
    assert.match(signatureProblem(change(request), identity, Date.now()) ?? 'good', problem)
  })
}

test('a signature serves for five minutes', () => {
  assert.equal(signatureProblem(request, identity, Date.now() + 4 * 60_000), undefined)
  assert.match(signatureProblem(request, identity, Date.now() + 6 * 60_000) ?? 'good', /too long ago/)
})

test('another secret gives another signature', () => {
  assert.match(
    signatureProblem(request, { ...identity, secretAccessKey: 'other' }, Date.now()) ?? 'good',
    /wrong signature/,
  )
})
