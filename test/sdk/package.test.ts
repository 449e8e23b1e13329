import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { startSealedStub } from '#test/support/sealed-answers.ts'
import { buildSdk } from '../../scripts/build-sdk.ts'

const run = promisify(execFile)
const modules = path.resolve(import.meta.dirname, '../../node_modules')

/** A project of somebody else: the package, noble beside it, and nothing else of ours. */
const project = await mkdtemp(path.join(tmpdir(), 'sealwire-sdk-'))
const packaged = path.join(project, 'node_modules/@sealwire/sdk')
const stub = await startSealedStub()

before(async () => {
  await mkdir(path.dirname(packaged), { recursive: true })
  await symlink(path.join(modules, '@noble'), path.join(project, 'node_modules/@noble'))
  await buildSdk(packaged)
})
after(async () => {
  await rm(project, { recursive: true })
  await stub.close()
})

test('the package names noble as its only dependency, in exact versions', async () => {
  const manifest = JSON.parse(await readFile(path.join(packaged, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  assert.deepEqual(Object.keys(manifest.dependencies), ['@noble/ciphers', '@noble/hashes', '@noble/post-quantum'])
  for (const version of Object.values(manifest.dependencies)) assert.match(version, /^\d+\.\d+\.\d+$/)
})

test('no emitted file imports TypeScript, Node, or anything but noble and its own files', async () => {
  const files = (await readdir(packaged, { recursive: true })).filter((name) => name.endsWith('.js'))
  assert.ok(files.length > 30, `${files.length} files`)
  for (const file of files) {
    const source = await readFile(path.join(packaged, file), 'utf8')
    for (const [, specifier] of source.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
      assert.match(specifier ?? '', /^(\.{1,2}\/.*\.js|@noble\/.+)$/, file)
    }
  }
})

test('plain Node imports it in an empty folder, and enrols', async () => {
  stub.answerWith(stub.enrolment())
  const program = `
    import { Sealwire, parseRecipient, serialiseRecipient } from '@sealwire/sdk'
    const [url, rootFingerprint] = process.argv.slice(2)
    const options = { baseUrl: url, apiKey: 'qs_test_key' }
    const recipient = await new Sealwire(options).recipients.enroll({ name: 'line 4', rootFingerprint })
    console.log(parseRecipient(serialiseRecipient(recipient)).tenantId)`
  await writeFile(path.join(project, 'program.mjs'), program)
  const { stdout } = await run(process.execPath, ['program.mjs', stub.url, stub.deployment.root], { cwd: project })
  assert.equal(stdout.trim(), stub.recipient.tenantId)
})

test('TypeScript of somebody else compiles against its declarations, without Node types', async () => {
  const source = `
    import { type Recipient, Sealwire, SealwireError } from '@sealwire/sdk'
    export async function publish(apiKey: string, recipient: Recipient): Promise<string> {
      const client = new Sealwire({ baseUrl: recipient.baseUrl, apiKey, recipient })
      try {
        const { result } = await client.proxy.publish({ integrationId: 'int_1', message: '22.5' })
        return result.outcome
      } catch (err) {
        return err instanceof SealwireError ? err.outcome : 'unknown'
      }
    }`
  await writeFile(path.join(project, 'consumer.ts'), source)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'es2022',
    types: [],
    lib: ['es2022', 'dom'],
  }
  await writeFile(path.join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['consumer.ts'] }))
  const { stdout } = await run(process.execPath, [path.join(modules, 'typescript/bin/tsc'), '-p', project])
  assert.equal(stdout, '')
})
