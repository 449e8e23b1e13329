import { constants, type FileHandle, link, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { fromBase64, toBase64 } from '../core/base64.ts'
import type { Bytes } from '../core/bytes.ts'
import { newUuid } from '../core/ids.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'

export interface RingKey {
  id: string
  /** 32 bytes. */
  key: Bytes
  createdAt: string
}

/** The keys of the local wrapper: all of them unwrap, the primary one wraps. */
export interface KeyRing {
  primary: string
  keys: readonly RingKey[]
}

export const RING_KEY_SIZE = 32
const MODE = 0o600

const KeyBytes = z.string().transform((text, ctx) => {
  const bytes = fromBase64(text)
  if (bytes?.length === RING_KEY_SIZE) return bytes
  ctx.addIssue({ code: 'custom', message: `must be the base64 of ${RING_KEY_SIZE} bytes`, input: undefined })
  return z.NEVER
})

const RingFile = z.strictObject({
  version: z.literal(1),
  primary: z.string(),
  keys: z.array(z.strictObject({ id: z.string().min(1).max(128), key: KeyBytes, created_at: z.iso.datetime() })).min(1),
})

function hasCode(err: unknown, code: string): boolean {
  return (err as NodeJS.ErrnoException).code === code
}

/** Judges the text of a ring. Errors name members and key ids, never what a member holds. */
function parseRing(text: string, file: string): KeyRing {
  let json: unknown
  try {
    json = parseStrictJson(text)
  } catch {
    // The reason may quote the text, and the text holds keys.
    throw new Error(`${file} is not a key ring: it is not JSON, or names a member (such as "primary") twice.`)
  }
  const parsed = RingFile.safeParse(json)
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the whole'}: ${issue.message}`)
    throw new Error(`${file} is not a key ring: ${lines.join('; ')}.`)
  }
  const { primary, keys } = parsed.data
  const ids = keys.map((key) => key.id)
  const double = ids.find((id, i) => ids.indexOf(id) !== i)
  if (double !== undefined) throw new Error(`${file} holds two keys with the id ${double}.`)
  if (!ids.includes(primary)) throw new Error(`${file} has the primary ${primary} but only the keys ${ids.join(', ')}.`)
  return { primary, keys: keys.map(({ id, key, created_at }) => ({ id, key, createdAt: created_at })) }
}

/**
 * Reads a ring file; `undefined` when there is none.
 *
 * @throws {Error} when it is not a ring, or anybody but its owner may read or write it
 */
export async function readKeyRing(file: string): Promise<KeyRing | undefined> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY)
  } catch (err) {
    if (hasCode(err, 'ENOENT')) return undefined
    throw new Error(`${file} cannot be read.`, { cause: err })
  }
  try {
    const { mode } = await handle.stat()
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0')
      throw new Error(`${file} has mode ${octal}: others may read it. Give it mode 0600 and consider its keys known.`)
    }
    return parseRing(await handle.readFile('utf8'), file)
  } finally {
    await handle.close()
  }
}

function renderRing({ primary, keys }: KeyRing): string {
  const rows = keys.map(({ id, key, createdAt }) => ({ id, key: toBase64(key), created_at: createdAt }))
  return `${JSON.stringify({ version: 1, primary, keys: rows }, null, 2)}\n`
}

async function syncFolder(file: string): Promise<void> {
  const folder = await open(path.dirname(file), constants.O_RDONLY)
  await folder.sync().finally(() => folder.close())
}

async function writeDraft(draft: string, ring: KeyRing): Promise<void> {
  const handle = await open(draft, 'wx', MODE)
  await handle
    .writeFile(renderRing(ring))
    .then(() => handle.sync())
    .finally(() => handle.close())
}

/** Puts a whole and synced file at `file`, where there is none yet. */
async function writeRing(file: string, ring: KeyRing): Promise<void> {
  const draft = `${file}.${newUuid()}`
  try {
    await writeDraft(draft, ring)
    await link(draft, file)
    await syncFolder(file)
  } finally {
    await rm(draft, { force: true })
  }
}

/**
 * Puts another ring in the place of the one at `file`, whole and synced, so that a crash leaves the old one or the new one.
 * One at a time: the caller holds a lock that every process respects.
 */
export async function replaceKeyRing(file: string, ring: KeyRing): Promise<void> {
  const draft = `${file}.new`
  await rm(draft, { force: true }) // of a process that was killed
  await writeDraft(draft, ring)
  await rename(draft, file)
  await syncFolder(file)
}

/** Makes a key of 32 random bytes. */
export function makeRingKey(provider: Pick<CryptoProvider, 'randomBytes'>, id: string): RingKey {
  return { id, key: provider.randomBytes(RING_KEY_SIZE), createdAt: new Date().toISOString() }
}

/** Makes a ring of one key with mode 0600. Where another process was faster, that one's ring stays. */
export async function createKeyRing(file: string, provider: CryptoProvider): Promise<void> {
  const id = `local-${newUuid()}`
  await writeRing(file, { primary: id, keys: [makeRingKey(provider, id)] }).catch((err: unknown) => {
    if (!hasCode(err, 'EEXIST')) throw err
  })
}
