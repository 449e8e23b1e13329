import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { newId } from '#src/core/ids.ts'
import { type ApiServer, type Call, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
/** A key that may only read, and one that may not even that. */
let reader: string
let other: string

before(async () => {
  api = await startApiServer()
  const make = async (body: object) =>
    (await succeed(api.call('POST', '/api/v2/security/api-keys', { body }), 201)).secret as string
  reader = await make({ name: 'reader', role: 'viewer' })
  other = await make({ name: 'other', role: 'viewer', scopes: ['vault:read'] })
})
after(() => api.close())

const PATH = '/api/v2/policies'
const rule = (topic: string) => ({ id: 'own', effect: 'allow', actions: ['publish'], topics: [`${topic}/#`] })
const documentOf = (topic: string, more: object = {}) => ({
  schema: 'mqtt-policy/1',
  id: 'plant',
  rules: [rule(topic)],
  ...more,
})
const failing = documentOf('a', { tests: [{ as: {}, do: 'publish', topic: 'b', expect: 'allow' }] })
const create = (document: unknown = documentOf('a'), more: object = {}) =>
  api.call('POST', PATH, { body: { document, ...more } })
const made = async () => (await succeed(create(), 201)) as { id: string; version: number }
const patch = (id: string, version: number, body: unknown, more: Call = {}) =>
  api.call('PATCH', `${PATH}/${id}`, { ...more, headers: { 'if-match': `"${version}"` }, body })
const remove = (id: string, version: number) =>
  api.call('DELETE', `${PATH}/${id}`, { headers: { 'if-match': `"${version}"` } })

/** Every operation on policies, as a caller with all rights makes it. */
const operations: {
  name: string
  writes: boolean
  call: (id: string, options?: Call) => ReturnType<ApiServer['call']>
}[] = [
  {
    name: 'create',
    writes: true,
    call: (_, more) => api.call('POST', PATH, { body: { document: documentOf('a') }, ...more }),
  },
  { name: 'list', writes: false, call: (_, more) => api.call('GET', PATH, more) },
  { name: 'get', writes: false, call: (id, more) => api.call('GET', `${PATH}/${id}`, more) },
  { name: 'revisions', writes: false, call: (id, more) => api.call('GET', `${PATH}/${id}/revisions`, more) },
  { name: 'revision', writes: false, call: (id, more) => api.call('GET', `${PATH}/${id}/revisions/1`, more) },
  { name: 'update', writes: true, call: (id, more) => patch(id, 1, { name: 'new' }, more) },
  {
    name: 'validate',
    writes: false,
    call: (_, more) => api.call('POST', `${PATH}/validate`, { body: { document: failing }, ...more }),
  },
  {
    name: 'simulate',
    writes: false,
    call: (id, more) =>
      api.call('POST', `${PATH}/simulate`, {
        body: { policy_id: id, identity: {}, requests: [{ action: 'publish', topic: 'a' }] },
        ...more,
      }),
  },
  {
    name: 'import',
    writes: false,
    call: (_, more) =>
      api.call('POST', `${PATH}/import`, { body: { dialect: 'mosquitto', input: 'topic write a/#' }, ...more }),
  },
  { name: 'presets', writes: false, call: (_, more) => api.call('GET', `${PATH}/presets`, more) },
  {
    name: 'delete',
    writes: true,
    call: (id, more) => api.call('DELETE', `${PATH}/${id}`, { ...more, headers: { 'if-match': '"1"' } }),
  },
]

for (const { name, writes, call } of operations) {
  const scope = writes ? 'policies:write' : 'policies:read'
  test(`policies.${name} needs ${scope}: 401 without a key, 403 without the scope, and then it works`, async () => {
    const { id } = await made()
    await refused(call(id, { key: null }), 401, 'auth.unauthenticated')
    for (const key of writes ? [reader, other] : [other]) {
      const { json } = await refused(call(id, { key }), 403, 'auth.forbidden')
      assert.match(json.error.message, new RegExp(scope))
    }
    await succeed(call(id, writes ? {} : { key: reader }))
  })
}

describe('a policy is written and read', () => {
  test('its document comes back as it was given, with its revision, and with the ETag that changes it', async () => {
    const document = documentOf('a', { 'x-note': { 'snake_case and Capitals': [1, { b: null, a: 'ü' }] } })
    const reply = await create(document, { name: 'line 4' })
    const policy = await succeed(Promise.resolve(reply), 201)
    assert.equal(reply.headers.get('etag'), '"1"')
    assert.deepEqual([policy.name, policy.rules, policy.document], ['line 4', 1, undefined])
    const got = await api.call('GET', `${PATH}/${policy.id}`)
    assert.equal(got.headers.get('etag'), '"1"')
    const { document: returned, ...rest } = await succeed(Promise.resolve(got))
    assert.deepEqual(rest, policy)
    const { schema, id, ...others } = document
    assert.equal(JSON.stringify(returned), JSON.stringify({ schema, id, revision: 1, ...others }))

    const updated = await patch(policy.id, 1, { document: documentOf('b') })
    assert.equal(updated.headers.get('etag'), '"2"')
    assert.deepEqual(
      (await succeed(api.call('GET', `${PATH}/${policy.id}/revisions`))).map(
        (one: { revision: number; active: boolean }) => [one.revision, one.active],
      ),
      [
        [2, true],
        [1, false],
      ],
    )
    const first = await succeed(api.call('GET', `${PATH}/${policy.id}/revisions/1`))
    assert.deepEqual([first.document, first.active], [returned, false])
    await succeed(patch(policy.id, 2, { activate_revision: 1 }))
    assert.deepEqual((await succeed(api.call('GET', `${PATH}/${policy.id}`))).document, returned)
  })

  test('lists and revisions are paged with cursors that fit only their own policy', async () => {
    const { id } = await made()
    const twin = await made()
    for (const version of [1, 2]) await succeed(patch(id, version, { document: documentOf('b') }))
    const page = await api.call('GET', `${PATH}/${id}/revisions?limit=2`)
    const cursor = encodeURIComponent(page.json.meta.next_cursor)
    const rest = await succeed(api.call('GET', `${PATH}/${id}/revisions?limit=2&cursor=${cursor}`))
    assert.deepEqual(
      [...page.json.data, ...rest].map(({ revision }) => revision),
      [3, 2, 1],
    )
    for (const path of [`${PATH}/${twin.id}/revisions`, PATH])
      await refused(api.call('GET', `${path}?limit=2&cursor=${cursor}`), 400, 'request.invalid')
    const ids: string[] = []
    let next: string | undefined = ''
    while (next !== undefined) {
      const { json } = await api.call('GET', `${PATH}?limit=2${next}`)
      ids.push(...json.data.map((one: { id: string }) => one.id))
      next = json.meta.next_cursor && `&cursor=${encodeURIComponent(json.meta.next_cursor)}`
    }
    assert.ok(ids.includes(id) && ids.includes(twin.id))
    assert.equal(new Set(ids).size, ids.length)
  })

  test('creating with an Idempotency-Key makes one policy', async () => {
    const call = () =>
      api.call('POST', PATH, { headers: { 'idempotency-key': 'policy-1' }, body: { document: documentOf('a') } })
    const [first, second] = [await succeed(call(), 201), await succeed(call(), 201)]
    assert.equal(second.id, first.id)
  })

  test('a deleted policy is gone; one that an integration names is not deleted, and the refusal lists it', async () => {
    const { id } = await made()
    const seal = { credential_type: 'custom_kv', values: { hostname: 'h', port: 1883 } }
    const { id: credentialId } = await succeed(api.call('POST', '/api/v2/vault/seal', { body: seal }), 201)
    const body = { name: 'x', system_type: 'mqtt', credential_id: credentialId, policy_id: id }
    const integration = await succeed(api.call('POST', '/api/v2/integrations', { body }), 201)
    assert.equal(integration.policy_id, id)
    const { json } = await refused(remove(id, 1), 409, 'object.in_use')
    assert.deepEqual(json.error.details, { integrations: [integration.id] })
    const change = { headers: { 'if-match': '"1"' }, body: { policy_id: null } }
    await succeed(api.call('PATCH', `/api/v2/integrations/${integration.id}`, change))
    assert.deepEqual(await succeed(remove(id, 1)), { id, deleted: true })
    await refused(api.call('GET', `${PATH}/${id}`), 404, 'object.not_found')
  })
})

describe('an integration with a policy and guards', () => {
  const integrate = async (more: object) => {
    const seal = { credential_type: 'custom_kv', values: { hostname: 'h', port: 1883 } }
    const { id } = await succeed(api.call('POST', '/api/v2/vault/seal', { body: seal }), 201)
    return api.call('POST', '/api/v2/integrations', {
      body: { name: 'x', system_type: 'mqtt', credential_id: id, ...more },
    })
  }

  test('shows them as they were given, and gives them up with null', async () => {
    const policy = await made()
    const guards = { retained: { 'blocked-topics': ['a/#'], enabled: true }, qos: { enabled: true, 'max-qos': 1 } }
    const { id } = await succeed(integrate({ policy_id: policy.id, guards }), 201)
    const path = `/api/v2/integrations/${id}`
    const shown = await succeed(api.call('GET', path))
    assert.equal(shown.policy_id, policy.id)
    assert.equal(JSON.stringify(shown.guards), JSON.stringify(guards))
    const bare = await succeed(
      api.call('PATCH', path, { headers: { 'if-match': '"1"' }, body: { policy_id: null, guards: null } }),
    )
    assert.deepEqual([bare.policy_id, bare.guards], [null, null])
  })

  test('422 for a policy that is not there; 400 with every path for guards that are none', async () => {
    const { json } = await refused(integrate({ policy_id: newId('pol') }), 422, 'integration.invalid')
    assert.deepEqual(json.error.details, { member: 'policy_id' })
    const guards = { qos: { 'max-qos': 3 }, inspection: { patterns: { sqli: 'yes' } }, firewall: {} }
    const reply = await refused(integrate({ guards }), 400, 'request.invalid')
    for (const path of ['guards.qos.max-qos', 'guards.inspection.patterns.sqli', 'guards.firewall'])
      assert.ok(reply.json.error.message.includes(`body.${path}: `), `${path} in ${reply.json.error.message}`)
  })
})

describe('a change is refused', () => {
  test('428 without If-Match, 412 with a stale one, 404 for what is not there, and nothing changes', async () => {
    const policy = await made()
    const { id } = policy
    const body = { name: 'new' }
    await refused(api.call('PATCH', `${PATH}/${id}`, { body }), 428, 'precondition.required')
    await refused(api.call('DELETE', `${PATH}/${id}`), 428, 'precondition.required')
    await refused(patch(id, 2, body), 412, 'precondition.failed')
    await refused(remove(id, 2), 412, 'precondition.failed')
    for (const missing of [newId('pol'), 'pol_x', newId('int')]) {
      await refused(patch(missing, 1, body), 404, 'object.not_found')
      await refused(remove(missing, 1), 404, 'object.not_found')
      await refused(api.call('GET', `${PATH}/${missing}`), 404, 'object.not_found')
      await refused(api.call('GET', `${PATH}/${missing}/revisions`), 404, 'object.not_found')
      await refused(api.call('GET', `${PATH}/${missing}/revisions/1`), 404, 'object.not_found')
    }
    for (const revision of ['2', '0', '01', '1.0', '-1', '1e0', '99999999999', 'x'])
      await refused(api.call('GET', `${PATH}/${id}/revisions/${revision}`), 404, 'object.not_found')
    const { document: _, ...now } = await succeed(api.call('GET', `${PATH}/${id}`))
    assert.deepEqual(now, policy)
  })

  test('of two admins at once one gets 412, and the winner is what is served', async () => {
    const { id } = await made()
    const replies = await Promise.all(['b', 'c'].map((topic) => patch(id, 1, { document: documentOf(topic) })))
    assert.deepEqual(
      replies.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 412],
    )
    const won = replies.findIndex(({ status }) => status === 200) === 0 ? 'b' : 'c'
    assert.deepEqual((await succeed(api.call('GET', `${PATH}/${id}`))).document.rules, [rule(won)])
  })

  const badBodies: { what: string; body: unknown; says: RegExp }[] = [
    { what: 'nothing', body: {}, says: /must name a member/ },
    { what: 'an unknown member', body: { document: documentOf('a'), active: true }, says: /active/ },
    { what: 'a document that is a list', body: { document: [] }, says: /document/ },
    { what: 'a document that is a text', body: { document: '{}' }, says: /document/ },
    { what: 'activate alone', body: { activate: true }, says: /activate/ },
    { what: 'activate with activate_revision', body: { activate_revision: 1, activate: true }, says: /activate/ },
    {
      what: 'a document and activate_revision',
      body: { document: documentOf('a'), activate_revision: 1 },
      says: /activate_revision/,
    },
    { what: 'revision 0', body: { activate_revision: 0 }, says: /activate_revision/ },
    { what: 'an empty name', body: { name: '' }, says: /name/ },
    { what: 'a line break in the name', body: { name: 'a\nb' }, says: /name/ },
  ]
  for (const { what, body, says } of badBodies) {
    test(`400 for ${what}`, async () => {
      const { id } = await made()
      const { json } = await refused(patch(id, 1, body), 400, 'request.invalid')
      assert.match(json.error.message, says)
    })
  }

  test('422 with every problem and its path for a document that is not valid, or whose tests fail; the one before stays', async () => {
    const { id } = await made()
    const bad = documentOf('a', {
      rules: [
        { ...rule('a'), effect: 'permit' },
        { ...rule('b/#'), id: 'x', qos: [3] },
      ],
    })
    for (const [document, paths] of [
      [bad, ['rules[0].effect', 'rules[1].topics[0]', 'rules[1].qos[0]']],
      [failing, ['tests[0]']],
      [{}, ['schema', 'id', 'rules']],
    ] as const) {
      for (const call of [create(document), patch(id, 1, { document })]) {
        const { json } = await refused(call, 422, 'policy.invalid')
        const problems = json.error.details.problems as { path: string; message: string }[]
        assert.deepEqual(
          problems.map(({ path }) => path.replace(/^(rules\[1\]\.qos).*/, '$1[0]')).sort(),
          [...paths].sort(),
        )
      }
    }
    await refused(patch(id, 1, { activate_revision: 7 }), 422, 'policy.invalid')
    const now = await succeed(api.call('GET', `${PATH}/${id}`))
    assert.deepEqual([now.version, now.active_revision], [1, 1])
    const draft = await succeed(patch(id, 1, { document: failing, activate: false }))
    assert.deepEqual([draft.active_revision, draft.latest_revision], [1, 2])
  })
})

describe('validating', () => {
  const validate = (document: unknown) => succeed(api.call('POST', `${PATH}/validate`, { body: { document } }))

  test('tells problems, warnings and tests, and stores nothing', async () => {
    const before = await succeed(api.call('GET', `${PATH}?limit=200`))
    const passing = { as: {}, do: 'publish', topic: 'a', expect: 'allow' }
    const document = documentOf('a', { rules: [{ ...rule('a'), retain: 'forbid' }], tests: [passing] })
    assert.deepEqual(await validate(document), {
      valid: true,
      problems: [],
      warnings: [],
      rules: 1,
      tests: { run: 1, failed: 0 },
    })
    const failed = await validate(failing)
    assert.deepEqual([failed.valid, failed.tests, failed.problems[0].path], [false, { run: 1, failed: 1 }, 'tests[0]'])
    const bad = await validate({ schema: 'mqtt-policy/1', id: 'a', rules: [{}] })
    assert.equal(bad.valid, false)
    assert.ok(bad.problems.some(({ path }: { path: string }) => path === 'rules[0].id'))
    const wide = await validate(documentOf('a', { rules: [{ ...rule('a'), topics: ['#'] }] }))
    assert.equal(wide.valid, true)
    assert.ok(wide.warnings.length > 0)
    for (const { path, code, message } of wide.warnings) assert.ok(path.startsWith('rules[0]') && code && message)
    assert.deepEqual(await succeed(api.call('GET', `${PATH}?limit=200`)), before)
  })

  test('members named like the prototype are refused as unknown, and nothing is polluted', async () => {
    const text = JSON.stringify(documentOf('a'))
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const body = `{"document":${text.slice(0, -1)},"${name}":{"polluted":true}}}`
      const { problems } = await succeed(api.call('POST', `${PATH}/validate`, { body }))
      assert.equal(problems.length, 1, name)
      assert.match(problems[0].message, /unknown/)
      await refused(api.call('POST', PATH, { body }), 422, 'policy.invalid')
    }
    assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  })
})

describe('a hostile document', () => {
  const post = (path: string, document: string) => api.call('POST', path, { body: `{"document":${document}}` })
  const filled = (member: string) => JSON.stringify(documentOf('a')).replace('{', `{${member},`)
  const cases: { what: string; document: string; status: number; code: string; says: RegExp }[] = [
    {
      what: 'nested 33 deep',
      document: filled(`"x-deep":${'['.repeat(31)}${']'.repeat(31)}`),
      status: 400,
      code: 'request.invalid',
      says: /deeper than 32/,
    },
    {
      what: 'with a member twice',
      document: filled('"x-a":1,"x-a":2'),
      status: 400,
      code: 'request.invalid',
      says: /twice/,
    },
    {
      what: 'of more than 1 MiB',
      document: filled(`"x-long":"${'a'.repeat(1024 * 1024)}"`),
      status: 413,
      code: 'request.too_large',
      says: /1048576/,
    },
    {
      what: 'that grows beyond 1 MiB when it is written out',
      document: filled(`"x-numbers":[${Array(200_000).fill('1e20').join()}]`),
      status: 422,
      code: 'policy.invalid',
      says: /longer than 1048576/,
    },
    {
      what: 'of 60,000 unknown members',
      document: filled(Array.from({ length: 60_000 }, (_, i) => `"m${i}":0`).join()),
      status: 422,
      code: 'policy.invalid',
      says: /unknown member.*95 more/s,
    },
    {
      what: 'whose rules are nested lists',
      document: `{"schema":"mqtt-policy/1","id":"a","rules":${'['.repeat(20)}${']'.repeat(20)}}`,
      status: 422,
      code: 'policy.invalid',
      says: /rules\[0\]/,
    },
    {
      what: 'with a regex that counts too much',
      document: JSON.stringify(
        documentOf('a', { rules: [{ ...rule('a'), topics: [{ regex: '((a{1,200}){1,200}){1,200}' }] }] }),
      ),
      status: 422,
      code: 'policy.invalid',
      says: /rules\[0\]\.topics\[0\]/,
    },
  ]
  for (const { what, document, status, code, says } of cases) {
    test(`${what} is refused with ${status} and the reason`, async () => {
      const { json } = await refused(post(PATH, document), status, code)
      assert.match(json.error.message, says)
    })
  }

  test('a regex that takes other engines for ever is an ordinary one', async () => {
    const document = documentOf('a', { rules: [{ ...rule('a'), topics: [{ regex: '(a+)+b' }] }] })
    await succeed(create(document), 201)
    const requests = [{ action: 'publish', topic: 'a'.repeat(60_000) }]
    const { decisions } = await succeed(
      api.call('POST', `${PATH}/simulate`, { body: { document, identity: {}, requests } }),
    )
    assert.equal(decisions[0].decision, 'deny')
  })
})

describe('simulating', () => {
  const simulate = (body: object) => api.call('POST', `${PATH}/simulate`, { body: { identity: {}, ...body } })
  const requests = [
    { action: 'publish', topic: 'a/t', qos: 1, retain: true },
    { action: 'publish', topic: 'b/t' },
    { action: 'subscribe', topic: 'a/#' },
    { action: 'connect' },
  ]
  const reasons = ({ decisions }: { decisions: { decision: string; reason: string }[] }) =>
    decisions.map(({ decision, reason }) => `${decision} ${reason}`)

  test('answers for the active revision, for another one and for a document of the caller', async () => {
    const { id } = await made()
    await succeed(patch(id, 1, { document: documentOf('b') }))
    const active = await succeed(simulate({ policy_id: id, requests }))
    assert.deepEqual([active.policy_id, active.revision], [id, 2])
    assert.deepEqual(reasons(active), ['deny default', 'allow rule', 'deny default', 'allow default'])
    const older = await succeed(simulate({ policy_id: id, revision: 1, requests }))
    assert.deepEqual([older.revision, ...reasons(older).slice(0, 2)], [1, 'allow rule', 'deny default'])
    const { trace, ...decision } = older.decisions[0]
    assert.deepEqual(decision, { decision: 'allow', reason: 'rule', rule: 'own', qos: 1, retain: true })
    assert.deepEqual([trace.length, trace[0].rule, trace[0].applies], [1, 'own', true])
    const inline = await succeed(simulate({ document: documentOf('b'), requests, trace: false }))
    assert.deepEqual([inline.policy_id, inline.revision], [null, null])
    assert.deepEqual(reasons(inline), reasons(active))
    assert.ok(inline.decisions.every((one: object) => !('trace' in one)))
  })

  test('the identity is the one of policies, claims and certificate included', async () => {
    const document = documentOf('a', {
      rules: [{ ...rule('a'), topics: ['a/${claims.line.no}/${cert.cn}/#'], when: { groups: ['g'], tls: true } }],
    })
    const identity = { groups: ['g'], tls: true, claims: { line: { no: 4 } }, cert: { cn: 'd1' } }
    const one = (who: object) =>
      succeed(simulate({ document, identity: who, requests: [{ action: 'publish', topic: 'a/4/d1/t' }] }))
    assert.deepEqual(reasons(await one(identity)), ['allow rule'])
    assert.deepEqual(reasons(await one({ ...identity, tls: false })), ['deny default'])
    assert.deepEqual(reasons(await one({ ...identity, claims: { line: { no: '4/d1' } } })), ['deny default'])
  })

  test('1,000 requests are answered in order; 1,001 are refused', async () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ action: 'publish', topic: i % 2 === 0 ? 'a/t' : 'b/t' }))
    const { decisions } = await succeed(simulate({ document: documentOf('a'), requests: many }))
    assert.deepEqual(
      decisions.map(({ decision }: { decision: string }) => decision),
      many.map((_, i) => (i % 2 === 0 ? 'allow' : 'deny')),
    )
    const { json } = await refused(
      simulate({ document: documentOf('a'), requests: [...many, many[0]] }),
      400,
      'request.invalid',
    )
    assert.match(json.error.message, /requests/)
  })

  const bad: { what: string; body: object; says: RegExp }[] = [
    { what: 'neither policy nor document', body: { requests }, says: /policy_id or document/ },
    {
      what: 'both',
      body: { policy_id: newId('pol'), document: documentOf('a'), requests },
      says: /policy_id or document/,
    },
    { what: 'a revision of a document', body: { document: documentOf('a'), revision: 1, requests }, says: /revision/ },
    { what: 'no request', body: { document: documentOf('a'), requests: [] }, says: /requests/ },
    {
      what: 'an unknown action',
      body: { document: documentOf('a'), requests: [{ action: 'read', topic: 'a' }] },
      says: /action/,
    },
    {
      what: 'QoS 3',
      body: { document: documentOf('a'), requests: [{ action: 'publish', topic: 'a', qos: 3 }] },
      says: /qos/,
    },
    {
      what: 'an unknown member of the identity',
      body: { document: documentOf('a'), identity: { client_id: 'x' }, requests },
      says: /client_id/,
    },
    {
      what: 'groups that are a text',
      body: { document: documentOf('a'), identity: { groups: 'g' }, requests },
      says: /groups/,
    },
  ]
  for (const { what, body, says } of bad) {
    test(`400 for ${what}`, async () => {
      const { json } = await refused(simulate(body), 400, 'request.invalid')
      assert.match(json.error.message, says)
    })
  }

  test('422 for a document that is none, 404 for a policy or a revision that is not there', async () => {
    const { id } = await made()
    await refused(simulate({ document: { schema: 'x' }, requests }), 422, 'policy.invalid')
    await refused(simulate({ policy_id: newId('pol'), requests }), 404, 'object.not_found')
    await refused(simulate({ policy_id: id, revision: 2, requests }), 404, 'object.not_found')
  })

  test('neither simulating nor validating nor importing leaves a row, changes a policy, or sends anything', async () => {
    const { id } = await made()
    const rows = async () => JSON.stringify(await succeed(api.call('GET', '/api/v2/audit/logs?limit=200')))
    const before = [await rows(), await succeed(api.call('GET', `${PATH}/${id}`))]
    await succeed(simulate({ policy_id: id, requests }))
    await succeed(api.call('POST', `${PATH}/validate`, { body: { document: documentOf('a') } }))
    await succeed(api.call('POST', `${PATH}/import`, { body: { dialect: 'mosquitto', input: 'topic write a/#' } }))
    assert.deepEqual([await rows(), await succeed(api.call('GET', `${PATH}/${id}`))], before)
  })
})

describe('importing', () => {
  const translate = (body: object) => api.call('POST', `${PATH}/import`, { body })

  test('answers a document that can be created as it is, and notes with the place that they are about', async () => {
    const { document, notes } = await succeed(
      translate({ dialect: 'mosquitto', input: 'user line4\ntopic write sensors/#\n', options: { id: 'from-file' } }),
    )
    assert.equal(document.id, 'from-file')
    for (const { path, kind, message } of notes) assert.ok(typeof path === 'string' && kind && message)
    assert.equal((await succeed(create(document), 201)).name, 'from-file')
  })

  test('422 with the place for what cannot be expressed, 400 for an unknown dialect', async () => {
    const { json } = await refused(
      translate({ dialect: 'mosquitto', input: 'topic write a/#/b\n' }),
      422,
      'policy.invalid',
    )
    assert.match(json.error.details.problems[0].path, /line 1/)
    await refused(translate({ dialect: 'toString', input: '' }), 400, 'request.invalid')
    await refused(translate({ dialect: 'mosquitto' }), 400, 'request.invalid')
  })
})

test('every preset can be created as it is', async () => {
  const presets = await succeed(api.call('GET', `${PATH}/presets`))
  assert.ok(presets.length >= 5, `${presets.length} presets`)
  assert.equal(new Set(presets.map(({ name }: { name: string }) => name)).size, presets.length)
  for (const { name, description, document } of presets) {
    assert.ok(description.length > 0, name)
    assert.equal((await succeed(create(document), 201)).active_revision, 1, name)
  }
})

test('presets take a namespace, and refuse one that is no beginning of a topic', async () => {
  const [named] = await succeed(api.call('GET', `${PATH}/presets?namespace=acme/site-1`))
  assert.match(JSON.stringify(named.document.rules), /acme\/site-1\//)
  for (const namespace of ['a%2F%2Fb', '%23', '$SYS', 'a&namespace=b'])
    await refused(api.call('GET', `${PATH}/presets?namespace=${namespace}`), 400, 'request.invalid')
})

test('503 with Retry-After while the database does not answer, for reading as for changing; then all is as before', async () => {
  const { id } = await made()
  const sql = new pg.Client({ connectionString: api.databaseUrl })
  await sql.connect()
  await sql.query('begin')
  await sql.query('lock table policies in access exclusive mode')
  const replies = await Promise.all([
    refused(api.call('GET', `${PATH}/${id}`), 503, 'database.unavailable'),
    refused(create(), 503, 'database.unavailable'),
    refused(patch(id, 1, { name: 'new' }), 503, 'database.unavailable'),
  ])
  for (const { headers } of replies) assert.match(headers.get('retry-after') ?? '', /^[1-9]/)
  await sql.query('rollback')
  await sql.end()
  assert.equal((await succeed(patch(id, 1, { name: 'new' }))).version, 2)
})

test('changes are on the audit log: who, which revision, and the digest of its document', async () => {
  const { id } = await made()
  await succeed(patch(id, 1, { document: documentOf('b') }))
  await succeed(patch(id, 2, { activate_revision: 1 }))
  await succeed(remove(id, 3))
  await refused(patch(id, 4, { name: 'x' }), 404, 'object.not_found')
  const rows = (await succeed(api.call('GET', '/api/v2/audit/logs?limit=200'))) as {
    action: string
    object: { id: string } | null
    detail: { revision: number; sha256: string }
  }[]
  const own = rows.filter(({ object }) => object?.id === id).reverse()
  assert.deepEqual(
    own.map(({ action, detail }) => [action, detail.revision]),
    [
      ['policies.create', 1],
      ['policies.update', 2],
      ['policies.activate', 1],
      ['policies.delete', 1],
    ],
  )
  assert.equal(own[0]?.detail.sha256, own[2]?.detail.sha256)
  assert.match(own[0]?.detail.sha256 ?? '', /^[0-9a-f]{64}$/)
  assert.ok(rows.some(({ action }) => action === 'request.refused'))
})
