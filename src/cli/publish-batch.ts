import { type BatchInput, type PublishedItem, type PublishOptions, type Sealwire, SealwireError } from '../sdk/index.ts'
import { fromWire } from '../sdk/wire-names.ts'
import { exit } from './exit-codes.ts'
import { type Io, printable } from './io.ts'

type Counts = Readonly<Record<string, number | undefined>>

function lineOf({ index, outcome, messageId, qos, topic, noSubscribers, error }: PublishedItem): string {
  const notes = [topic, noSubscribers && 'no subscribers', error && `${error.code}: ${error.message}`].filter(Boolean)
  return printable([index, outcome, messageId, `qos ${qos}`, ...notes].join('  '))
}

const textOf = (counts: Counts) =>
  Object.entries(counts)
    .map(([outcome, count]) => `${count} ${outcome}`)
    .join(', ')

/** 0: all went out. 3: of one nobody knows. 4: one may be tried again. 1: one was refused. */
function exitCodeOf({ unknown, unavailable, rejected, denied }: Counts): number {
  if (unknown) return exit.unknown
  if (unavailable) return exit.later
  return rejected || denied ? exit.failed : exit.ok
}

/** Prints the items that a refusal of the whole lists, and takes them out of it: `details` are printed on one line. */
function withoutItems(io: Io, err: SealwireError): SealwireError {
  const { items, ...details } = err.details ?? {}
  if (!Array.isArray(items)) return err
  for (const item of items) io.out(lineOf(fromWire(item) as PublishedItem))
  const { code, message, status, outcome, requestId, retryAfterS } = err
  return new SealwireError(code, message, { status, outcome, details, requestId, retryAfterS })
}

/**
 * Publishes a batch, prints a line for every message and, for people, how many ended how.
 *
 * @throws {SealwireError} when no message went out
 */
export async function publishBatch(
  io: Io,
  client: Sealwire,
  input: BatchInput,
  call: PublishOptions,
  { dryRun, json }: { dryRun?: boolean | undefined; json?: boolean | undefined },
): Promise<number> {
  if (dryRun) {
    const { result, envelope } = await client.proxy.dryRunBatch(input, call)
    if (json) io.out(JSON.stringify({ result, envelope }))
    else {
      for (const { index, allowed, qos, reason, guard } of result.items)
        io.out(printable([index, allowed ? 'allowed' : 'refused', `qos ${qos}`, guard ?? reason].join('  ')))
    }
    return exit.ok
  }
  try {
    const { result, envelope } = await client.proxy.publishBatch(input, call)
    if (json) io.out(JSON.stringify({ result, envelope }))
    else for (const item of result.items) io.out(lineOf(item))
    io.err(`${result.outcome}: ${textOf(result.counts)}${result.replayed ? ', by an earlier attempt' : ''}`)
    return exitCodeOf(result.counts)
  } catch (err) {
    throw err instanceof SealwireError ? withoutItems(io, err) : err
  }
}
