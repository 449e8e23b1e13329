import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { MisuseError } from '#src/cli/io.ts'
import { readRootFile, writeRootFile } from '#src/cli/root-file.ts'
import { Secret } from '#src/core/secret.ts'

describe('a root key file', () => {
  let home: string
  const place = (name: string) => path.join(home, name)
  const io = {} as Parameters<typeof readRootFile>[0]
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'sealwire-root-file-'))
  })
  after(() => rm(home, { recursive: true, force: true }))

  test('is for its owner alone, whatever the umask says, and reads back', async () => {
    const before = process.umask(0)
    try {
      await writeRootFile(place('root.json'), new Secret('{"seed":"…"}'))
    } finally {
      process.umask(before)
    }
    assert.equal((await stat(place('root.json'))).mode & 0o777, 0o600)
    assert.equal((await readRootFile(io, place('root.json'))).reveal(), '{"seed":"…"}')
  })

  test('is never written through a link, nor over anything', async () => {
    await writeFile(place('kept'), 'kept')
    await symlink(place('elsewhere'), place('dangling'))
    await symlink(place('kept'), place('link'))
    for (const name of ['kept', 'link', 'dangling']) {
      await assert.rejects(writeRootFile(place(name), new Secret('key')), /exists and is not overwritten/)
    }
    await assert.rejects(writeRootFile(place('none/root.json'), new Secret('key')), /there is no such folder/)
    assert.equal(await readFile(place('kept'), 'utf8'), 'kept')
    assert.deepEqual((await readdir(home)).includes('elsewhere'), false)
  })

  test('is not left behind in part', async () => {
    const broken = { reveal: () => ({}) } as unknown as Secret<string> // fails once the file is made
    await assert.rejects(writeRootFile(place('part.json'), broken), TypeError)
    await assert.rejects(stat(place('part.json')), { code: 'ENOENT' })
  })

  test('is refused when others can read it, and when it is far too long, also from a device without an end', async () => {
    await writeFile(place('open.json'), 'x')
    for (const mode of [0o604, 0o640, 0o602]) {
      await chmod(place('open.json'), mode)
      await assert.rejects(readRootFile(io, place('open.json')), (err: MisuseError) => {
        assert.match(err.hint ?? '', /^chmod 600 .*umask=077$/)
        return err instanceof MisuseError
      })
    }
    await writeFile(place('long.json'), 'x'.repeat(16_385), { mode: 0o600 })
    await assert.rejects(readRootFile(io, place('long.json')), /too long/)
  })
})
