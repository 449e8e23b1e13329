import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { chromium } from 'playwright-core'
import { type Plugin, rolldown } from 'rolldown'
import { bareSuccess, type Responder, startSealedStub, success } from '#test/support/sealed-answers.ts'
import type { PageInput, PageReport } from './browser-page.ts'

const executablePath = process.env['SEALWIRE_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
const isSkipped = (process.env['SEALWIRE_TEST_SKIP'] ?? '').split(',').includes('browser')
const skip = isSkipped ? 'SEALWIRE_TEST_SKIP names browser' : false

const refuseNode: Plugin = {
  name: 'refuse-node',
  resolveId(specifier, importer) {
    if (specifier.startsWith('node:')) throw new Error(`${specifier} is imported by ${importer}`)
  },
}

/** A module for browsers; fails when anything in it imports from Node or is left for the page to find. */
async function bundle(input: string, plugins: Plugin[] = []): Promise<string> {
  const build = await rolldown({
    input,
    platform: 'browser',
    plugins: [refuseNode, ...plugins],
    onLog: (level, log, next) => {
      if (log.code === 'UNRESOLVED_IMPORT') throw new Error(log.message)
      next(level, log)
    },
  })
  const { output } = await build.generate({ format: 'esm' })
  await build.close()
  assert.equal(output.length, 1)
  assert.deepEqual(output[0].imports, [])
  return output[0].code
}

describe('the SDK in Chromium', { skip }, () => {
  test('the bundle has no import of Node; a planted one is found', async () => {
    const planted: Plugin = {
      name: 'planted',
      transform: (code, id) => (id.endsWith('sealwire.ts') ? `import 'node:fs'\n${code}` : null),
    }
    const entry = path.join(import.meta.dirname, 'browser-page.ts')
    await assert.rejects(bundle(entry, [planted]), /node:fs is imported by .*sealwire\.ts/)
    assert.match(await bundle(entry), /runInPage/)
  })

  test('a page enrols, publishes, opens and verifies, and believes nothing without an envelope', async () => {
    assert.ok(existsSync(executablePath), `Chromium is not at ${executablePath}; SEALWIRE_TEST_CHROMIUM names another`)
    const code = await bundle(path.join(import.meta.dirname, 'browser-page.ts'))
    const stub = await startSealedStub()
    after(() => stub.close())
    stub.answerWith(siteOf(stub, code))

    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
    after(() => browser.close())
    const page = await browser.newPage()
    const problems: string[] = []
    page.on('pageerror', (err) => problems.push(err.message))
    await page.goto(`${stub.url}/page`)
    const input: PageInput = { baseUrl: stub.url, rootFingerprint: stub.deployment.root, integrationId: 'int_1' }
    const report = await page.evaluate(
      async (given) => (globalThis as unknown as { runInPage(one: PageInput): Promise<PageReport> }).runInPage(given),
      input,
    )
    assert.deepEqual(problems, [])
    const { recipientId, ...rest } = report
    assert.match(recipientId, /^rcp_/)
    assert.deepEqual(rest, {
      outcome: 'acknowledged',
      decrypted: true,
      origin: recipientId,
      replay: 'envelope.replay, rejected',
      tampered: 'envelope.rejected, rejected',
      bare: 'unprotected, unknown',
      redirected: 'unprotected, unknown',
    })
  })
})

/** The stub as a site: the page, its script, and the API below the same origin. */
function siteOf(stub: Awaited<ReturnType<typeof startSealedStub>>, code: string): Responder {
  const enrol = stub.enrolment()
  return (request) => {
    if (request.url === '/page') {
      const body = '<!doctype html><title>SDK</title><script type="module" src="/bundle.js"></script>'
      return { status: 200, headers: { 'Content-Type': 'text/html' }, body }
    }
    if (request.url === '/bundle.js') return { status: 200, headers: { 'Content-Type': 'text/javascript' }, body: code }
    if (request.url.startsWith('/api/v2/recipients')) return enrol(request)
    if (!request.url.startsWith('/api/')) return { status: 404, body: '' }
    const { payload } = JSON.parse(Buffer.from(request.body).toString()) as { payload: { topic: string } }
    if (payload.topic === 'bare') return bareSuccess({ outcome: 'acknowledged' })
    if (payload.topic === 'redirected') return { status: 307, headers: { Location: '/elsewhere' }, body: '' }
    return stub.sealed(request, success({ outcome: 'acknowledged' }), { recipient: stub.enrolled() })
  }
}
