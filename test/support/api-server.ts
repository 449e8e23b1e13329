import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startServer } from '#src/app.ts'
import { type Config, parseConfig } from '#src/config/config.ts'
import type { Clock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import type { Resolve } from '#src/outbound/resolver.ts'
import { testDatabase } from './database.ts'
import { assertDocumented } from './openapi-contract.ts'

export interface Call {
  key?: string | null
  headers?: Record<string, string>
  /** Sent as JSON; a string or bytes are sent as they are. */
  body?: unknown
  /** Leave the document out of it: for requests that no documented route is meant to take. */
  undocumented?: boolean
}

export interface Reply {
  status: number
  headers: Headers
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  json: any
}

/** The whole server, in this process, on a database of its own. Every answer is held against `openapi/openapi.json`. */
export interface ApiServer {
  url: string
  ownerKey: string
  dataDir: string
  databaseUrl: string
  config: Config
  call(method: string, path: string, options?: Call): Promise<Reply>
  close(): Promise<void>
}

export async function startApiServer(
  env: Record<string, string> = {},
  parts: { clock?: Clock; resolve?: Resolve } = {},
): Promise<ApiServer> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'sealwire-test-'))
  const database = await testDatabase()
  const config = parseConfig({
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    PORT: '0',
    OUTBOUND_ALLOW: '127.0.0.0/8,::1/128',
    ...env,
  })
  const server = await startServer(config, { log: silentLog, ...parts })
  const ownerKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()

  async function call(
    method: string,
    target: string,
    { key = ownerKey, headers = {}, body, undocumented = false }: Call = {},
  ): Promise<Reply> {
    const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array
    const res = await fetch(server.url + target, {
      method,
      headers: {
        ...(key === null ? {} : { 'x-api-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
    })
    const text = await res.text()
    const isJson = /json/.test(res.headers.get('content-type') ?? '')
    const reply: Reply = { status: res.status, headers: res.headers, text, json: isJson ? JSON.parse(text) : undefined }
    if (!undocumented) assertDocumented(method, new URL(target, server.url).pathname, reply)
    return reply
  }

  return {
    url: server.url,
    ownerKey,
    dataDir,
    databaseUrl: database.url,
    config,
    call,
    async close() {
      await server.close()
      await database.drop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Calls and expects success; returns `data`. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export async function succeed(reply: Promise<Reply>, status?: number): Promise<any> {
  const got = await reply
  assert.ok(got.status < 300, `${got.status} ${got.text.slice(0, 500)}`)
  if (status !== undefined) assert.equal(got.status, status)
  assert.equal(got.json.success, true)
  return got.json.data
}

/** Calls and expects a refusal with that code; returns the reply. */
export async function refused(reply: Promise<Reply>, status: number, code: string): Promise<Reply> {
  const got = await reply
  assert.equal(got.json?.error?.code, code, `${got.status} ${got.text.slice(0, 500)}`)
  assert.equal(got.status, status)
  return got
}
