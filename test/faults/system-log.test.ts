import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readSync, writeSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { testDatabase } from '#test/support/database.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { callerOf, integrate, publish } from './system-parts.ts'

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A file on a disk without room. */
const FULL = '/dev/full'

/** A pipe that holds no byte more: the end that is read, and the other one. */
function openFullPipe(fifo: string): { reader: number; writer: number } {
  execFileSync('mkfifo', [fifo])
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK)
  const filler = Buffer.alloc(4096, '\n')
  try {
    for (;;) writeSync(writer, filler)
  } catch (err) {
    assert.equal((err as { code?: unknown }).code, 'EAGAIN')
  }
  return { reader, writer }
}

describe('F38: a server that cannot write its log', { concurrency: true }, () => {
  for (const { what, args, isRead = false, isFile = false } of [
    { what: 'whose log nobody reads, and then is closed', args: ['src/main.ts'], isRead: true },
    { what: 'started as a command, whose log is closed', args: ['src/cli/main.ts', 'serve'] },
    { what: 'whose log is a file on a full disk', args: ['src/main.ts'], isFile: true },
  ])
    test(`one ${what}, goes on, counts the lines that are lost, and stops as ever`, {
      skip: isFile && !existsSync(FULL) && 'there is no /dev/full',
    }, async () => {
      const home = await mkdtemp(path.join(tmpdir(), 'sealwire-log-'))
      const database = await testDatabase()
      const broker = await startFakeBroker({
        misbehave: { publish: ({ messageId = 0 }, c) => c.send({ cmd: 'puback', messageId, reasonCode: 0x97 }) },
      })
      const { reader, writer } = isFile
        ? { reader: undefined, writer: openSync(FULL, 'w') }
        : openFullPipe(path.join(home, 'log'))
      const port = await freePort()
      const env = {
        PATH: process.env['PATH'] ?? '',
        DATABASE_URL: database.url,
        DATA_DIR: home,
        PORT: String(port),
        OUTBOUND_ALLOW: '127.0.0.0/8',
        LOG_FORMAT: 'json',
        STOP_NOTICE_MS: '0',
      }
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', writer, 'pipe'] })
      closeSync(writer)
      let open = reader
      const close = () => {
        if (open !== undefined) closeSync(open)
        open = undefined
      }
      const url = `http://127.0.0.1:${port}`
      const dropped = async () => {
        const text = await (await fetch(`${url}/metrics`)).text()
        return Number(/^sealwire_log_lines_dropped (\d+)$/m.exec(text)?.[1])
      }
      try {
        const sinceMs = performance.now()
        while (
          !(await fetch(`${url}/health/ready`).then(
            ({ ok }) => ok,
            () => false,
          ))
        )
          assert.ok(performance.now() - sinceMs < patience(15_000), 'never ready')
        const key = (await readFile(path.join(home, 'owner-api-key'), 'utf8')).trim()
        const call = callerOf(
          () => url,
          () => key,
        )
        const { integrationId } = await integrate(call, broker.port) // it refuses each publish, and that is a line
        if (isRead && reader !== undefined) {
          for (let i = 0; (await dropped()) === 0; i++) {
            assert.ok(i < 200, 'nothing was dropped')
            const answers = await Promise.all(Array.from({ length: 16 }, () => publish(call, integrationId)))
            assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([502]))
          }

          const chunk = Buffer.alloc(65_536)
          let read = ''
          for (
            const end = performance.now() + patience(5_000);
            !read.includes('log lines were dropped');
            await delay(5)
          ) {
            assert.ok(performance.now() < end, 'it did not say that lines were dropped')
            try {
              read += chunk.toString('utf8', 0, readSync(reader, chunk))
            } catch {
              // nothing there now
            }
          }
          const notice = read.split('\n').find((line) => line.includes('log lines were dropped')) ?? ''
          assert.ok((JSON.parse(notice) as { dropped: number }).dropped > 0)
        }

        close()
        const lost = await dropped()
        for (let i = 0; i < 3; i++) assert.equal((await publish(call, integrationId)).status, 502)
        assert.ok((await dropped()) > lost)
        assert.equal((await call('GET', '/api/v2/vault/entries')).status, 200)
        const exited = once(child, 'exit')
        child.kill('SIGTERM')
        assert.deepEqual(await exited, [0, null])
      } finally {
        close()
        child.kill('SIGKILL')
        await broker.stop()
        await database.drop()
        await rm(home, { recursive: true, force: true })
      }
    })
})
