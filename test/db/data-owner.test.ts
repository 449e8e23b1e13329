import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { ownDirectory } from '#src/db/data-owner.ts'
import { identityOf, isRunning } from '#src/db/process-identity.ts'

let folder: string
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire-owner-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  rmSync(folder, { recursive: true })
})

const MODULE = new URL('../../src/db/data-owner.ts', import.meta.url).href

/** A process that waits for a line, tries to own the folder, says how that went, and stays. */
async function contender(): Promise<{ child: ChildProcess; go(): Promise<string> }> {
  const source = `
    import { ownDirectory } from ${JSON.stringify(MODULE)}
    process.stdin.once('data', () => {
      try { ownDirectory(${JSON.stringify(folder)}); process.stdout.write('owner') }
      catch (err) { process.stdout.write(err.message) }
    })
    process.stdout.write('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const { stdin, stdout } = child
  assert.equal(String((await once(stdout, 'data'))[0]), 'ready')
  return {
    child,
    async go() {
      const said = once(stdout, 'data')
      stdin.write('\n')
      return String((await said)[0])
    },
  }
}

test('of processes that find the same dead owner exactly one becomes the owner, three times in a row', async () => {
  for (let round = 1; round <= 3; round++) {
    const contenders = await Promise.all([contender(), contender(), contender(), contender()])
    const said = await Promise.all(contenders.map((each) => each.go()))
    const winners = contenders.filter((_, i) => said[i] === 'owner')
    assert.equal(winners.length, 1, said.join('; '))
    const names = new RegExp(`belongs to process ${winners[0]?.child.pid} `)
    for (const text of said.filter((each) => each !== 'owner')) assert.match(text, names)
    assert.equal(readdirSync(folder).length, 1)
    for (const { child } of contenders) {
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    }
  }
})

const { pid } = process
const started = identityOf(pid)?.started
const since = '2026-11-21T12:00:00.000Z'
const records = [
  { why: 'that very process', text: `${pid}\n${started}\n${since}\n`, free: false },
  { why: 'its number, started at another time', text: `${pid}\n${started}0\n${since}\n`, free: true },
  { why: 'a number that nobody has', text: `${2 ** 22 + 1}\n${started}\n${since}\n`, free: true },
  { why: 'nobody, because it was given up', text: '', free: true },
]
for (const { why, text, free } of records) {
  test(`a folder whose lock names ${why} is ${free ? 'free' : 'taken'}`, () => {
    writeFileSync(path.join(folder, 'owner.7'), text)
    if (free) {
      ownDirectory(folder)
      assert.deepEqual(readdirSync(folder), ['owner.8'])
      assert.ok(readFileSync(path.join(folder, 'owner.8'), 'utf8').startsWith(`${pid}\n${started}\n`))
    } else {
      assert.throws(() => ownDirectory(folder), {
        message: `${folder} belongs to process ${pid} since ${since}. Stop that one first.`,
      })
      assert.deepEqual(readdirSync(folder), ['owner.7'])
    }
  })
}

test('a folder that was given up can be owned again', () => {
  for (let i = 0; i < 3; i++) ownDirectory(folder).release()
  ownDirectory(folder)
  assert.throws(() => ownDirectory(folder), /belongs to process/)
})

test('an owner that runs no more owns nothing, and one that is only stopped still does', async () => {
  const { child, go } = await contender()
  assert.equal(await go(), 'owner')
  child.kill('SIGSTOP')
  assert.throws(() => ownDirectory(folder), /belongs to process/)
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
  ownDirectory(folder)
})

test('a process that ended counts as gone although its parent never asked for its status', async () => {
  const parent = spawn('/bin/sh', ['-c', 'sleep 60 >&2 & echo $!; exec sleep 60 >&2'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(parent)
  const child = identityOf(Number(String((await once(parent.stdout, 'data'))[0])))
  assert.ok(child)
  assert.ok(isRunning(child))
  process.kill(child.pid, 'SIGKILL')
  for (const end = Date.now() + 10_000; isRunning(child); await setImmediate()) assert.ok(Date.now() < end)
  process.kill(child.pid, 0) // its number is still taken
})
