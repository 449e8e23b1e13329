import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** Every way in which a text of a process may lie in its memory. */
export interface Found {
  readonly utf8: number
  readonly base64: number
  readonly utf16: number
}

const CHUNK_BYTES = 4 * 1024 * 1024

/** Base64 of the text wherever it stands in what was encoded: without the characters that depend on what is beside it. */
function base64Forms(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    return Buffer.from(encoded.slice(shift === 0 ? 0 : 4, encoded.length - 4))
  })
}

function occurrences(haystack: Buffer, needle: Buffer, until: number): number {
  let count = 0
  for (let at = haystack.indexOf(needle); at >= 0 && at < until; at = haystack.indexOf(needle, at + 1)) count++
  return count
}

/** The private mappings that can be read, as `[start, end]`: heap, stack, anonymous memory; not files that are shared. */
function privateMappings(pid: number): [number, number][] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) r..p /.exec(line) ?? []
      const isOurs = start !== undefined && end !== undefined && !/\[(vvar|vvar_vclock|vsyscall)\]/.test(line)
      return isOurs ? [[Number.parseInt(start, 16), Number.parseInt(end, 16)] as [number, number]] : []
    })
}

/** Says why the memory of another process of ours cannot be read here; `undefined` where it can. */
export function whyMemoryIsClosed(pid: number): string | undefined {
  if (process.platform !== 'linux') return 'there is no /proc/<pid>/mem on this system'
  try {
    closeSync(openSync(`/proc/${pid}/mem`, 'r'))
    return undefined
  } catch (err) {
    return `/proc/<pid>/mem may not be read here: ${(err as NodeJS.ErrnoException).code}`
  }
}

/**
 * Counts each text in the private memory of a process, in UTF-8, UTF-16 and base64. Needs the permission to trace it.
 *
 * @returns the counts and how many bytes were searched
 */
export function searchMemory(
  pid: number,
  texts: readonly string[],
): { bytes: number; found: ReadonlyMap<string, Found> } {
  const needles = texts.map((text) => ({
    text,
    utf8: [Buffer.from(text)],
    base64: base64Forms(text),
    utf16: [Buffer.from(text, 'utf16le')],
    counts: { utf8: 0, base64: 0, utf16: 0 },
  }))
  const overlap = Math.max(...needles.flatMap(({ utf16, base64 }) => [...utf16, ...base64].map(({ length }) => length)))
  const buffer = Buffer.alloc(CHUNK_BYTES + overlap)
  const file = openSync(`/proc/${pid}/mem`, 'r')
  let bytes = 0
  try {
    for (const [start, end] of privateMappings(pid)) {
      for (let at = start; at < end; at += CHUNK_BYTES) {
        const wanted = Math.min(CHUNK_BYTES + overlap, end - at)
        let read: number
        try {
          read = readSync(file, buffer, 0, wanted, at)
        } catch {
          break // unmapped since, or a mapping that the kernel does not show
        }
        bytes += Math.min(read, CHUNK_BYTES)
        const seen = buffer.subarray(0, read)
        for (const { counts, ...forms } of needles)
          for (const form of ['utf8', 'base64', 'utf16'] as const)
            for (const needle of forms[form]) counts[form] += occurrences(seen, needle, CHUNK_BYTES)
      }
    }
  } finally {
    closeSync(file)
  }
  return { bytes, found: new Map(needles.map(({ text, counts }) => [text, counts])) }
}
