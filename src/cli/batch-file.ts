import { parseStrictJson } from '../core/strict-json.ts'
import type { BatchMessage } from '../sdk/index.ts'
import { fromWire } from '../sdk/wire-names.ts'
import { type Io, MisuseError } from './io.ts'
import { readTextFile } from './text-file.ts'

/** What the server takes in one body. */
const MAX_BYTES = 1024 * 1024
const MAX_MESSAGES = 1_000

function parse(text: string, place: string): unknown {
  try {
    return parseStrictJson(text)
  } catch (err) {
    throw new MisuseError(`${place}: is not JSON: ${(err as Error).message}`)
  }
}

/** The names of the API (`content_type`) become those of the SDK. */
function messageOf(value: unknown, place: string): BatchMessage {
  const isMessage = typeof value === 'object' && value !== null && Object.hasOwn(value, 'message')
  if (!isMessage) throw new MisuseError(`${place}: is not an object with a member "message".`)
  return fromWire(value) as BatchMessage
}

/**
 * Reads messages from a file, or from standard input where it is `-`: a JSON array, or one JSON object a line; empty lines
 * are skipped.
 *
 * @throws {MisuseError} with the line or the place in the array of what is no message
 */
export async function readBatchFile(io: Io, file: string): Promise<BatchMessage[]> {
  const name = file === '-' ? 'standard input' : file
  const text = await readTextFile(io, file, MAX_BYTES)
  let messages: BatchMessage[]
  if (text.trimStart().startsWith('[')) {
    const list = parse(text, name) as unknown[]
    messages = list.map((value, index) => messageOf(value, `${name}: [${index}]`))
  } else {
    const lines = text.split('\n').map((line, index) => ({ line, place: `${name}:${index + 1}` }))
    const filled = lines.filter(({ line }) => line.trim() !== '')
    messages = filled.map(({ line, place }) => messageOf(parse(line, place), place))
  }
  if (messages.length >= 1 && messages.length <= MAX_MESSAGES) return messages
  throw new MisuseError(`${name}: holds ${messages.length} messages; a batch is 1 to ${MAX_MESSAGES}.`)
}
