import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { testDatabase } from '#test/support/database.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { startServerProcess } from '#test/support/server-process.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const COMMAND_LINE = path.join(repository, 'src/cli/main.ts')
const ID = '[0-9a-z]{26}'

/** What a block has to print, by words that it holds. */
const expectations: readonly (readonly [words: string, printed: RegExp])[] = [
  ['id_of()', new RegExp(`^int_${ID}$`, 'm')],
  ['/encryption/decrypt', /"outcome":"acknowledged".*"signature_valid":true/],
  ['sealwire subscribe', /^acknowledged .*\nsensors\/temperature 22\.5$/m],
  ['--suite x-wing', new RegExp(`^rcp_${ID}\nrcp_${ID}$`, 'm')],
  ['recipients revoke', new RegExp(`^revoked rcp_${ID} of key_${ID}$`, 'm')],
  ['acl simulate', /^valid: 3 rules, 3 tests, 0 warnings\nallow {2}reason=filtered {2}rule=read/m],
  ['If-Match', new RegExp(`"success":true.*"policy_id":"pol_${ID}"`)],
  ['integrations lock', new RegExp(`^unlocked int_${ID} until .*\nacknowledged .*\nlocked int_${ID}$`, 'm')],
  ['keys rewrap', /^local-2026-11 {2}keys: \d\d {2}shares: 2 {2}for new wraps$/m],
  ['keys vault rotate', new RegExp(`^(kem_${ID})\n\\1 {2}active .* records: \\d`, 'm')],
  ['keys root offline', new RegExp(`^(root_${ID})\nadk_${ID}\n\\d{4}-.*Z\n\\1$`, 'm')],
  ['keys revoke', new RegExp(`^sig_${ID}$`, 'm')],
]

/** The blocks of the README that a reader pastes into a shell, but those that install, build or start something. */
function shellBlocks(readme: string): string[] {
  return [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
    .map(([, text = '']) => text)
    .filter((text) => !/\bnpm /.test(text))
}

describe('the README, pasted block by block into one shell beside a server', { timeout: 120_000 }, () => {
  const opened = new AsyncDisposableStack()
  let brokerPort: number
  let url: string
  let folder: string
  let env: Record<string, string>

  before(async () => {
    const database = opened.adopt(await testDatabase(), (one) => one.drop())
    const broker = opened.adopt(await startMosquitto(), (one) => one.stop())
    folder = await mkdtemp(path.join(tmpdir(), 'sealwire-readme-'))
    opened.defer(() => rm(folder, { recursive: true, force: true }))
    env = { DATABASE_URL: database.url, DATA_DIR: path.join(folder, '.sealwire') } // a folder that is not there yet
    const server = opened.adopt(await startServerProcess(env), async ({ child }) => {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    })
    brokerPort = broker.ports.tcp
    url = server.url
  })
  after(() => opened.disposeAsync())

  /** Runs the blocks as they stand, but with the addresses of this server and broker; every command has to succeed. */
  async function paste(blocks: readonly string[]): Promise<{ failed: string | undefined; printed: string[] }> {
    const script = [
      'set -eE -o pipefail; shopt -s inherit_errexit',
      `npx() { [ "$1" = sealwire ] && shift && "$NODE" "$COMMAND_LINE" "$@"; }`,
      'node() { "$NODE" "$@"; }',
      ...blocks.map((block, i) => `printf '\\n=== %s\\n' ${i}\n${block}`),
    ]
      .join('\n')
      .replaceAll('http://127.0.0.1:8080', url)
      .replaceAll('"port":1883', `"port":${brokerPort}`)
    const NODE_COMPILE_CACHE = process.env['NODE_COMPILE_CACHE'] ?? path.join(folder, 'compile')
    const PATH = process.env['PATH'] ?? ''
    const shellEnv = { ...env, PATH, NODE_COMPILE_CACHE, NODE: process.execPath, COMMAND_LINE }
    return new Promise((resolve) => {
      const options = { cwd: folder, env: shellEnv, timeout: 100_000 }
      execFile('bash', ['--norc', '-c', script], options, (err, stdout, stderr) => {
        const printed = stdout.split(/^=== \d+\n/m).slice(1)
        resolve({ failed: err ? `after block ${printed.length - 1}: ${stderr}\n${stdout}` : undefined, printed })
      })
    })
  }

  test('every command succeeds, and every block prints what it should', async () => {
    const blocks = shellBlocks(await readFile(path.join(repository, 'README.md'), 'utf8'))
    const { failed, printed } = await paste(blocks)
    assert.equal(failed, undefined)
    assert.equal(printed.length, blocks.length)
    for (const [words, expected] of expectations) {
      const at = blocks.findIndex((block) => block.includes(words))
      assert.ok(at >= 0, `no block of the README has ${words}`)
      assert.match(printed[at] ?? '', expected, words)
    }
    assert.doesNotMatch(printed.join(''), /"success":false/)
  })

  test('afterwards the integration in split custody is locked, and the root is back', async () => {
    const { failed, printed } = await paste([
      'export SEALWIRE_URL=http://127.0.0.1:8080 SEALWIRE_API_KEY=$(cat .sealwire/owner-api-key)',
      'curl -s $SEALWIRE_URL/api/v2/integrations -H "X-API-Key: $SEALWIRE_API_KEY"; npx sealwire keys root --json',
    ])
    assert.equal(failed, undefined)
    assert.match(printed[1] ?? '', /"name":"line 4, held".*"locked":true/)
    assert.match(printed[1] ?? '', /"offline":false/)
    await assert.rejects(access(path.join(folder, 'root.json')), { code: 'ENOENT' })
  })
})
