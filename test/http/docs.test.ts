import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'
import { problems } from '#src/http/problems.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { browserOptions, browserSkip } from '#test/support/browser.ts'

let api: ApiServer

before(async () => {
  api = await startApiServer()
})
after(() => api.close())

test('every error code has a page that says what to do next', async () => {
  const codes = Object.keys(problems)
  assert.ok(codes.length > 30)
  for (const code of codes) {
    const res = await fetch(`${api.url}/docs/errors/${code}`)
    assert.equal(res.status, 200, code)
    assert.ok((await res.text()).includes(code))
  }
  assert.equal((await fetch(`${api.url}/docs/errors/nothing`)).status, 404)
})

test('the reference shows every operation in a browser, asks no other host and breaks no content policy', {
  skip: browserSkip(),
}, async () => {
  const browser = await chromium.launch(browserOptions())
  try {
    const page = await browser.newPage()
    const requested: string[] = []
    const complaints: string[] = []
    page.on('request', (request) => requested.push(request.url()))
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (err) => complaints.push(String(err)))
    await page.goto(`${api.url}/docs`)
    await page.locator('.opblock').first().waitFor()
    const shown = await page.locator('.opblock').count()
    assert.ok(shown >= 24, `${shown} operations are shown`)
    assert.deepEqual(
      requested.filter((url) => !url.startsWith(api.url) && !url.startsWith('data:')),
      [],
    )
    assert.ok(requested.length >= 4)
    assert.deepEqual(complaints, [])
  } finally {
    await browser.close()
  }
})
