import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { type Answer, type AuditFact, callerOf, integrate, publish } from './system-parts.ts'

/** Mounts of its own, in which a small disk is made; who is not root becomes that inside. */
const MOUNTS = [...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']), '--mount']
const SETUP = 'mount -t tmpfs -o size=300m tmpfs "$1" && shift && exec "$@"'

function whyNoMounts(): string | false {
  try {
    execFileSync('unshare', [...MOUNTS, 'sh', '-c', SETUP, 'sh', tmpdir(), 'true'], { stdio: 'pipe' })
    return false
  } catch (err) {
    return `no file system can be mounted here (${String(err).split('\n')[0]})`
  }
}

/** Takes all the room that is left. */
function fill(file: string): void {
  const fd = openSync(file, 'w')
  for (let chunk = Buffer.alloc(65_536, 1); chunk.length > 0; ) {
    try {
      writeSync(fd, chunk)
    } catch (err) {
      assert.equal((err as { code?: unknown }).code, 'ENOSPC')
      chunk = chunk.subarray(0, Math.floor(chunk.length / 2))
    }
  }
  closeSync(fd)
}

test('F24: the disk of PostgreSQL is full: nothing is acknowledged without its record, reads go on, and so do writes when there is room', {
  skip: whyNoMounts(),
}, async (t) => {
  const disk = await mkdtemp(path.join(tmpdir(), 'sealwire-disk-'))
  const broker = await startFakeBroker()
  const env = {
    PATH: process.env['PATH'] ?? '',
    DATA_DIR: disk,
    PORT: '0',
    OUTBOUND_ALLOW: '127.0.0.0/8',
    LOG_FORMAT: 'json',
  }
  const command = [...MOUNTS, 'sh', '-c', SETUP, 'sh', disk, process.execPath, 'src/main.ts']
  const child = spawn('unshare', command, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const inside = `/proc/${child.pid}/root${disk}`
  try {
    let url = ''
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as { msg: string; url?: string }
      if (said.msg !== 'listening') continue
      url = said.url ?? ''
      break
    }
    child.stdout.resume()
    const key = readFileSync(path.join(inside, 'owner-api-key'), 'utf8').trim()
    const call = callerOf(
      () => url,
      () => key,
    )
    const { integrationId } = await integrate(call, broker.port)
    const answers = new Map<string, Answer>()
    let asked = 0
    const send = async () => {
      const message = `m${++asked}`
      const answer = await publish(call, integrationId, { message })
      answers.set(message, answer)
      return answer
    }
    assert.equal((await send()).status, 200)

    fill(path.join(inside, 'filler'))
    for (let i = 0; (await send()).status === 200; i++) assert.ok(i < 500, 'there was room all the time')
    const full = await Promise.all(Array.from({ length: 8 }, send))
    assert.deepEqual(new Set(full.map(({ status, code }) => `${status} ${code}`)), new Set(['503 audit.unavailable']))
    const write = await call('POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values: { hostname: 'b' } })
    assert.equal(write.status, 503)
    assert.equal((await call('GET', '/api/v2/vault/entries')).status, 200)
    assert.equal((await call('GET', `/api/v2/integrations/${integrationId}`)).status, 200)

    rmSync(path.join(inside, 'filler'))
    const sinceMs = performance.now()
    while ((await send()).status !== 200) assert.ok(performance.now() - sinceMs < patience(5_000), 'not back')

    const sent = new Map<string, number>()
    for (const { payload } of broker.packetsOf('publish'))
      sent.set(String(payload), (sent.get(String(payload)) ?? 0) + 1)
    const succeeded = new Set<string | null>()
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Answer = await call('GET', `/api/v2/audit/logs?limit=100${cursor && `&cursor=${cursor}`}`)
      assert.equal(page.status, 200)
      for (const { action, outcome, request_id: id } of page.data as AuditFact[])
        if (action === 'proxy.publish.outcome' && outcome === 'success') succeeded.add(id)
      cursor = page.nextCursor
    }
    const counts: Record<number, number> = {}
    for (const [message, { status, requestId }] of answers) {
      counts[status] = (counts[status] ?? 0) + 1
      if (status === 200) assert.ok(succeeded.has(requestId), 'acknowledged without its record')
      assert.equal(sent.get(message) ?? 0, status === 503 ? 0 : 1)
    }
    t.diagnostic(JSON.stringify(counts))
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  } finally {
    child.kill('SIGKILL')
    await broker.stop()
    await rm(disk, { recursive: true, force: true })
  }
})
