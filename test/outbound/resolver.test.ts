import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { createResolver, type ResolverOptions } from '#src/outbound/resolver.ts'
import { addressesInHosts, parseSearchRules, searchNames } from '#src/outbound/resolver-files.ts'
import { type DnsServer, type DnsServerOptions, startDnsServer } from '#test/support/dns-server.ts'
import { patience } from '#test/support/patience.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sealwire-resolver-'))
})
after(() => rm(folder, { recursive: true, force: true }))

const never = new AbortController().signal
const many = (count: number) => Array.from({ length: count }, (_, i) => `93.184.${i >> 8}.${i & 255}`)

/** A resolver that asks a server of this test, on files of this test. */
async function withServer(
  names: DnsServerOptions['names'],
  use: (
    resolver: (hostname: string, tenantId?: string, signal?: AbortSignal) => Promise<readonly string[]>,
    dns: DnsServer,
  ) => Promise<void>,
  { hosts = '', conf = '', ...options }: { hosts?: string; conf?: string } & Partial<ResolverOptions> = {},
) {
  const [hostsFile, resolvConf] = [path.join(folder, 'hosts'), path.join(folder, 'resolv.conf')]
  await Promise.all([writeFile(hostsFile, hosts), writeFile(resolvConf, conf)])
  const dns = await startDnsServer(names ? { names } : {})
  const resolve = createResolver({ servers: [dns.server], hostsFile, resolvConf, ...options })
  try {
    await use((hostname, tenantId = 'ten_1', signal = never) => resolve(hostname, { tenantId, signal }), dns)
  } finally {
    await dns.stop()
  }
}

test('hosts file: comments, several names, any case, both families, in their order', () => {
  const text = '# 1.1.1.1 a\n10.0.0.1\tbroker Broker.lan # b\n::1 other\n10.0.0.2 BROKER\nnonsense broker\n\n10.0.0.3\n'
  assert.deepEqual(addressesInHosts(text, 'broker'), ['10.0.0.1', '10.0.0.2'])
  assert.deepEqual(addressesInHosts(text, 'BROKER.LAN'), ['10.0.0.1'])
  assert.deepEqual(addressesInHosts(text, 'other'), ['::1'])
  assert.deepEqual([addressesInHosts(text, 'b'), addressesInHosts(text, 'a')], [[], []])
})

const searches = [
  { conf: '', name: 'broker', asked: ['broker'] },
  { conf: 'search a.example b.example.\n', name: 'broker', asked: ['broker.a.example', 'broker.b.example', 'broker'] },
  { conf: 'search a.example\n', name: 'x.y', asked: ['x.y', 'x.y.a.example'] },
  { conf: 'search a.example\noptions edns0 ndots:5\n', name: 'x.y', asked: ['x.y.a.example', 'x.y'] },
  { conf: 'search a.example\n# search z\ndomain d.example\n', name: 'h', asked: ['h.d.example', 'h'] },
  { conf: `search ${many(9).join(' ')}`, name: 'h.i', asked: ['h.i', ...many(6).map((domain) => `h.i.${domain}`)] },
  { conf: `search ${'a'.repeat(63)}.example`, name: `${'b'.repeat(62)}.`.repeat(3).slice(0, -1), asked: undefined },
]
for (const { conf, name, asked } of searches) {
  test(`search list: ${name.slice(0, 20)} with ${JSON.stringify(conf.slice(0, 50))}`, () => {
    assert.deepEqual(searchNames(name, parseSearchRules(conf)), asked ?? [name])
  })
}

test('a name of the hosts file is not asked for, and localhost never is', async () => {
  await withServer(
    { broker: { addresses: ['10.9.9.9'] }, localhost: { addresses: ['10.9.9.9'] } },
    async (resolve, dns) => {
      assert.deepEqual(await resolve('broker'), ['10.0.0.1'])
      assert.deepEqual(await resolve('localhost'), ['127.0.0.1', '::1'])
      assert.deepEqual(await resolve('broker.localhost'), ['127.0.0.1', '::1'])
      assert.equal(dns.questions.length, 0)
    },
    { hosts: '10.0.0.1 broker\n' },
  )
})

test('a hosts file that cannot be read fails the lookup, and DNS is not asked in its place; a missing one is empty', async () => {
  const names = { broker: { addresses: ['10.9.9.9'] } }
  const unreadable = { hostsFile: folder }
  await withServer(
    names,
    async (resolve, dns) => {
      await assert.rejects(resolve('broker'), { code: 'EISDIR' })
      assert.equal(dns.questions.length, 0)
    },
    unreadable,
  )
  const missing = { hostsFile: path.join(folder, 'none'), resolvConf: path.join(folder, 'none') }
  await withServer(names, async (resolve) => assert.deepEqual(await resolve('broker'), ['10.9.9.9']), missing)
})

test('the service names of containers and clusters resolve through the search list', async () => {
  await withServer(
    { 'mosquitto.default.svc.cluster.local': { addresses: ['10.96.0.7'] } },
    async (resolve, dns) => {
      assert.deepEqual(await resolve('mosquitto'), ['10.96.0.7'])
      assert.deepEqual(await resolve('mosquitto.default'), ['10.96.0.7'])
      assert.equal(dns.asked('mosquitto'), 0)
    },
    { conf: 'search default.svc.cluster.local svc.cluster.local\noptions ndots:5\n' },
  )
})

test('families take turns, through chains of names; one family may be absent', async () => {
  await withServer(
    {
      'both.example': { cnames: ['a.example', 'b.example'], addresses: ['1.1.1.1', '1.1.1.2', '2606:4700::1'] },
      'six.example': { addresses: ['2606:4700::1'] },
      'chain.example': { cnames: ['nowhere.example'] },
    },
    async (resolve) => {
      assert.deepEqual(await resolve('both.example'), ['1.1.1.1', '2606:4700::1', '1.1.1.2'])
      assert.deepEqual(await resolve('six.example'), ['2606:4700::1'])
      assert.deepEqual(await resolve('chain.example'), [])
      assert.deepEqual(await resolve('missing.example'), [])
    },
  )
})

test('a thousand answers come whole, over TCP', async () => {
  await withServer({ 'big.example': { addresses: many(1_000) } }, async (resolve) => {
    assert.deepEqual([...(await resolve('big.example'))].sort(), many(1_000).sort())
  })
})

test('an error is no absence: it is thrown, and the search list is not gone on with', async () => {
  await withServer(
    { 'broken.example': { error: 'SERVFAIL' }, 'broken.example.lan': { addresses: ['10.0.0.1'] } },
    async (resolve, dns) => {
      await assert.rejects(resolve('broken.example'), { code: 'ESERVFAIL' })
      assert.ok(dns.asked('broken.example') > 0)
      assert.equal(dns.asked('broken.example.lan'), 0)
    },
    { conf: 'search lan\n' },
  )
})

test('a family that fails or says nothing does not hold up the one that answered', async () => {
  const dns = await startDnsServer({
    other: (name, type) => {
      if (type === 'A') return name === 'none.example' ? {} : { addresses: ['1.1.1.1'] }
      return name === 'deaf.example' ? { delayMs: 'never' } : { error: 'SERVFAIL' }
    },
  })
  const resolver = createResolver({ servers: [dns.server], hostsFile: '/dev/null', resolvConf: '/dev/null' })
  const resolve = (hostname: string) => resolver(hostname, { tenantId: 'ten_1', signal: never })
  const started = performance.now()
  assert.deepEqual(await resolve('deaf.example'), ['1.1.1.1'])
  assert.ok(performance.now() - started < patience(2_500))
  assert.deepEqual(await resolve('half.example'), ['1.1.1.1'])
  await assert.rejects(
    resolve('none.example'),
    { code: 'ESERVFAIL' },
    'no address, and of the other family nobody knows',
  )
  await dns.stop()
})

test('F33: silence ends at the time of a lookup, and asks no more', async () => {
  await withServer(
    { 'slow.example': { addresses: ['1.1.1.1'], delayMs: 30_000 } },
    async (resolve, dns) => {
      const started = performance.now()
      await assert.rejects(resolve('slow.example'), /no answer from DNS in time/)
      const took = performance.now() - started
      assert.ok(took >= 290 && took < patience(2_300), `${took}`)
      assert.equal(dns.asked('slow.example'), 1)
    },
    { lookupMs: 300 },
  )
})

test('nothing is remembered: a name that flips is seen to', async () => {
  const replies = [{ addresses: ['93.184.215.14'] }, { addresses: ['127.0.0.1'] }]
  await withServer({ 'flip.example': replies }, async (resolve, dns) => {
    assert.deepEqual(await resolve('flip.example'), ['93.184.215.14'])
    assert.deepEqual(await resolve('flip.example'), ['127.0.0.1'])
    assert.equal(dns.asked('flip.example'), 2)
  })
})

test('those who ask for one name at the same time share its answer', async () => {
  await withServer({ 'one.example': { addresses: ['1.1.1.1'], delayMs: 50 } }, async (resolve, dns) => {
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => resolve('one.example', `ten_${i}`)))
    assert.deepEqual(new Set(all.map(String)), new Set(['1.1.1.1']))
    assert.equal(dns.asked('one.example'), 1)
  })
})

test('a tenant with a silent name server fills its own places only, and they come free when it gives up', async () => {
  const silent = Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [`s${i}.example`, { delayMs: 'never' } as const]),
  )
  await withServer({ ...silent, 'good.example': { addresses: ['1.1.1.1'] } }, async (resolve) => {
    const gone = new AbortController()
    const stuck = Array.from({ length: 16 }, (_, i) => resolve(`s${i}.example`, 'ten_slow', gone.signal))
    const ends = Promise.allSettled(stuck)
    await assert.rejects(resolve('good.example', 'ten_slow'), { code: 'broker.busy' })
    assert.deepEqual(await resolve('good.example', 'ten_other'), ['1.1.1.1'])
    gone.abort()
    assert.deepEqual(new Set((await ends).map(({ status }) => status)), new Set(['rejected']))
    assert.deepEqual(await resolve('good.example', 'ten_slow'), ['1.1.1.1'])
  })
})

test('no more lookups are under way than the process has places', async () => {
  const other = () => ({ delayMs: 'never' }) as const
  const dns = await startDnsServer({ other })
  const resolve = createResolver({ servers: [dns.server], hostsFile: '/dev/null', resolvConf: '/dev/null' })
  const gone = new AbortController()
  const ask = (i: number) => resolve(`n${i}.example`, { tenantId: `ten_${i >> 4}`, signal: gone.signal })
  const ends = Promise.allSettled(Array.from({ length: 64 }, (_, i) => ask(i)))
  await assert.rejects(ask(64), { code: 'broker.busy' })
  gone.abort()
  await ends
  await dns.stop()
})

test('who stops waiting leaves the lookup to the others', async () => {
  await withServer({ 'one.example': { addresses: ['1.1.1.1'], delayMs: 100 } }, async (resolve, dns) => {
    const gone = new AbortController()
    const [first, second] = [resolve('one.example', 'ten_1', gone.signal), resolve('one.example', 'ten_2')]
    gone.abort()
    assert.deepEqual(await second, ['1.1.1.1'])
    await first
    assert.equal(dns.asked('one.example'), 1)
  })
})

test('a name of multicast DNS is asked of the system once DNS does not know it, one at a time, and no other name is', async () => {
  const asked: string[] = []
  const { promise, resolve: answer } = Promise.withResolvers<readonly string[]>()
  const system = (hostname: string) => {
    asked.push(hostname)
    return promise
  }
  await withServer(
    {},
    async (resolve) => {
      const first = resolve('printer.local')
      while (asked.length === 0) await new Promise(setImmediate)
      assert.deepEqual(await resolve('other.local'), [])
      answer(['192.168.1.7'])
      assert.deepEqual(await first, ['192.168.1.7'])
      assert.deepEqual(await resolve('x.svc.local'), [])
      assert.deepEqual(await resolve('example.com'), [])
      assert.deepEqual(asked, ['printer.local'])
    },
    { system },
  )
})
