import { MisuseError } from './io.ts'

const LINE_END = 0x0a

/**
 * Cuts a stream of bytes into lines, without their ends, in batches as they come; the last one may lack its end. No more than
 * one line and one piece of the stream is held at a time.
 *
 * @throws {MisuseError} with the number of a line that is longer than `maxBytes`; `name` is that of the stream
 */
export async function* byteLines(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  maxBytes: number,
): AsyncGenerator<readonly Uint8Array[]> {
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let count = 0
  const add = (bytes: Uint8Array): boolean => {
    pendingBytes += bytes.length
    if (bytes.length > 0) pending.push(bytes)
    return pendingBytes <= maxBytes
  }
  const take = (): Uint8Array => {
    const [first] = pending
    const line = pending.length === 1 && first ? first : new Uint8Array(Buffer.concat(pending))
    pending = []
    pendingBytes = 0
    count++
    return line
  }
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = []
    let start = 0
    let fits = true
    for (let end = chunk.indexOf(LINE_END); fits && end !== -1; end = chunk.indexOf(LINE_END, start)) {
      fits = add(chunk.subarray(start, end))
      if (fits) lines.push(take())
      start = end + 1
    }
    fits = fits && add(chunk.subarray(start))
    if (lines.length > 0) yield lines
    if (!fits) throw new MisuseError(`${name}:${count + 1}: the line is longer than ${maxBytes} bytes.`)
  }
  if (pendingBytes > 0) yield [take()]
}
