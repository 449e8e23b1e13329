import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { protocols } from '#src/outbound/destination.ts'
import { type ApiServer, startApiServer, succeed } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { type DnsReply, startDnsServer } from '#test/support/dns-server.ts'
import { NAMESPACE_DNS, OWN_PUBLIC_ADDRESS } from '#test/support/network-namespace.ts'
import { hostsInShort, names } from '../hosts.ts'
import { startCanaries } from './canaries.ts'

/** What the run found; every count is of calls that were made and answered. */
export interface CorpusResult {
  hosts: number
  protocols: number
  /** Answers of create, of PATCH, of rotation, by code: names are judged once they are resolved, and pass. */
  created: Record<string, number>
  updated: Record<string, number>
  rotated: Record<string, number>
  /** Answers of connection test and publish, by code. */
  tested: Record<string, number>
  published: Record<string, number>
  /** Hosts that were not answered as they should. */
  wrong: string[]
  /** Connections that the canaries saw while the corpus ran. */
  visits: string[]
  /** Audit rows of refused tests and publishes, of the newest hundred of each server. */
  audited: number
  /** What the canaries saw of hosts that may be dialled: without, and with `OUTBOUND_ALLOW`. */
  control: { open: string[]; allowed: string[] }
  /** Codes and visits of two dials of a name that flips from public to private. */
  flip: { codes: string[]; visits: string[] }
  /** Codes of testing many ports of a host, one after the other, and the visits to them. */
  scan: { codes: Record<string, number>; visits: number }
  /** Code of testing the server's own port, on a network that may be dialled. */
  own: string
  /** Codes of dialling a public address that is this host's own: without, and with `OUTBOUND_ALLOW`. */
  here: string[]
  questions: number
  ms: number
}

const PORT = 1883
/** Where brokers listen, and what answers on a host of any kind. */
const CANARY_PORTS = [PORT, 8883, 80, 443, 8080]
const SCANNED_PORTS = Array.from({ length: 60 }, (_, i) => 20_000 + i)
/** Hosts that are tried at the same time over one transport. */
const WORKERS = 8
const FLIP: DnsReply[] = [{ addresses: ['93.184.215.14'] }, { addresses: ['10.0.0.1'] }]

const corpus = [
  ...hostsInShort.map(({ host, answer }) => {
    const code = answer === 'invalid' ? 'request.invalid' : 'destination.not_allowed'
    return { host, code, written: [code, code, code] }
  }),
  ...names.map(({ host }) => ({ host, code: 'destination.not_allowed', written: ['201', '200', '200'] })),
]

function tenant(api: ApiServer) {
  const call = (method: string, path: string, body?: object) =>
    api.call(method, path, { undocumented: true, ...(body && { body }) }) // thousands of the same answers
  return {
    async seal(values: object) {
      return (await succeed(call('POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values }), 201)).id
    },
    create(credentialId: string, protocol: string) {
      const body = { name: 'x', system_type: 'mqtt', credential_id: credentialId, allowed_operations: ['publish'] }
      return call('POST', '/api/v2/integrations', { ...body, config: { topic: 't', protocol } })
    },
    update: (id: string, credentialId: string) =>
      api.call('PATCH', `/api/v2/integrations/${id}`, {
        undocumented: true,
        body: { credential_id: credentialId },
        headers: { 'if-match': '"1"' },
      }),
    rotate: (id: string, values: object) => call('POST', `/api/v2/vault/rotate/${id}`, { values }),
    test: (id: string) => call('POST', `/api/v2/integrations/${id}/test`),
    publish: (id: string) =>
      call('POST', '/api/v2/proxy/outbound', { integration_id: id, operation: 'publish', payload: { message: '1' } }),
  }
}

/** The code of a refusal, also of one that is sealed. */
function codeOf({ status, json }: { status: number; json: { error?: { code?: string } | null } }): string {
  return json.error?.code ?? `${status}`
}

function count(codes: Record<string, number>, code: string): void {
  codes[code] = (codes[code] ?? 0) + 1
}

/** Writes a bad host in each of the ways there are; then one is put underneath, and used. */
async function runCorpus(api: ApiServer, protocol: string, result: CorpusResult): Promise<void> {
  const own = tenant(api)
  const sql = openSql(api.databaseUrl)
  const queue = [...corpus]
  const good = { hostname: '93.184.215.14', port: PORT }
  const makeUsed = async () => {
    const credential = await own.seal(good)
    return { credential, integration: (await succeed(own.create(credential, protocol), 201)).id }
  }
  const work = async () => {
    const untouched = await own.seal(good)
    let used = await makeUsed()
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { host, code, written } = next
      const values = { hostname: host, port: PORT, username: 'u', password: 'p' }
      const [bad, slipped] = await Promise.all([own.seal(values), succeed(own.create(untouched, protocol), 201)])
      const integration = slipped.id
      await sql.query('update integrations set credential_id = $1 where id = $2', [bad, integration])
      const codes = (
        await Promise.all([
          own.create(bad, protocol),
          own.rotate(used.credential, values),
          own.update(used.integration, bad),
        ])
      ).map(codeOf)
      if (codes.includes('200')) used = await makeUsed()
      count(result.created, codes[0] ?? '')
      count(result.rotated, codes[1] ?? '')
      count(result.updated, codes[2] ?? '')
      if (String(codes) !== String(written)) result.wrong.push(`${protocol} ${JSON.stringify(host)}: ${codes.join()}`)
      const [tested = '', published = ''] = (await Promise.all([own.test(integration), own.publish(integration)])).map(
        codeOf,
      )
      count(result.tested, tested)
      count(result.published, published)
      if (tested !== code || published !== code) {
        result.wrong.push(`${protocol} ${JSON.stringify(host)}: ${tested}, ${published}`)
      }
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, work))
  await sql.end()
}

/** Rows of refused destinations, of the newest hundred. */
async function deniedRows(api: ApiServer): Promise<number> {
  const rows: { outcome: string; detail: { code?: string } }[] = await succeed(
    api.call('GET', '/api/v2/audit/logs?limit=100'),
  )
  return rows.filter(({ outcome, detail }) => outcome === 'denied' && detail.code === 'destination.not_allowed').length
}

/** The code of testing, or of creating where that is refused already. */
async function testOne(api: ApiServer, hostname: string, port: number): Promise<string> {
  const own = tenant(api)
  const created = await own.create(await own.seal({ hostname, port }), 'mqtt')
  return codeOf(created.status === 201 ? await own.test(created.json.data.id) : created)
}

async function testHosts(api: ApiServer, wanted: readonly string[]): Promise<string[]> {
  const codes: string[] = []
  for (const hostname of wanted) codes.push(await testOne(api, hostname, PORT))
  return codes
}

async function run(): Promise<void> {
  const dns = await startDnsServer({
    address: NAMESPACE_DNS,
    port: 53,
    names: {
      ...Object.fromEntries(names.map(({ host, answers }) => [host, { addresses: answers }])),
      'public.example': { addresses: ['93.184.215.14'] },
      'flip.example': FLIP,
    },
  })
  const canaries = await startCanaries([...CANARY_PORTS, ...SCANNED_PORTS])

  async function visitsOf(use: () => Promise<unknown>): Promise<string[]> {
    const before = canaries.visits.length
    await use()
    return canaries.visits.slice(before)
  }

  const started = performance.now()
  const limits = { RATE_LIMIT_KEY: '1000000', RATE_LIMIT_TENANT: '1000000' }
  // A server for each transport: each makes so many attempts in a second, and no more.
  const servers = await Promise.all(protocols.map(() => startApiServer({ OUTBOUND_ALLOW: '', ...limits })))
  const result: CorpusResult = {
    hosts: corpus.length,
    protocols: protocols.length,
    created: {},
    updated: {},
    rotated: {},
    tested: {},
    published: {},
    wrong: [],
    visits: [],
    audited: 0,
    control: { open: [], allowed: [] },
    flip: { codes: [], visits: [] },
    scan: { codes: {}, visits: 0 },
    own: '',
    here: [],
    questions: 0,
    ms: 0,
  }
  result.visits = await visitsOf(() =>
    Promise.all(protocols.map((protocol, i) => runCorpus(servers[i] as ApiServer, protocol, result))),
  )
  result.questions = dns.questions.length
  for (const api of servers) result.audited += await deniedRows(api)
  const api = servers[0] as ApiServer
  result.control.open = await visitsOf(() => testHosts(api, ['93.184.215.14', 'public.example', '2606:4700::1']))
  result.flip.visits = await visitsOf(async () => {
    result.flip.codes = await testHosts(api, ['flip.example', 'flip.example'])
  })
  result.here.push(await testOne(api, OWN_PUBLIC_ADDRESS, PORT))
  await Promise.all(servers.map((server) => server.close()))

  const allowing = await startApiServer({
    OUTBOUND_ALLOW: `10.0.0.0/8,127.0.0.0/8,192.168.0.0/16,fc00::/7,::1/128,${OWN_PUBLIC_ADDRESS}/32`,
    ...limits,
  })
  const reachable = [
    '10.0.0.1',
    '127.0.0.1',
    '192.168.1.1',
    'fd00::1',
    '::1',
    'localhost',
    'localtest.me',
    'unique.example',
  ]
  result.control.allowed = await visitsOf(() => testHosts(allowing, [...reachable, '169.254.169.254', 'fd00:ec2::254']))
  result.here.push(await testOne(allowing, OWN_PUBLIC_ADDRESS, PORT))
  result.own = await testOne(allowing, '127.0.0.1', Number(new URL(allowing.url).port))
  const scanned = await visitsOf(async () => {
    for (const port of SCANNED_PORTS) count(result.scan.codes, await testOne(allowing, '93.184.215.15', port))
  })
  result.scan.visits = scanned.length
  await allowing.close()

  result.ms = Math.round(performance.now() - started)
  canaries.close()
  await dns.stop()
  await writeFile(process.env['RESULT_FILE'] ?? '', JSON.stringify(result))
}

// A test, for what the parts do after one. Servers that a failure left open would keep this process until it is killed.
test('the corpus, from within a namespace', () =>
  run().catch((err: unknown) => {
    console.error(err)
    process.exit(1)
  }))
