import type { Command } from 'commander'
import type { MessageStatus } from '../../sdk/index.ts'
import {
  addRecipientOption,
  addServerOptions,
  connectSealed,
  type RecipientOption,
  type ServerOptions,
} from '../connect.ts'
import { exit } from '../exit-codes.ts'
import { type Io, printable } from '../io.ts'

const EXAMPLES = `
Examples:
  $ sealwire message msg_01kat4hvr07rf9mm9f7nrvz4gg        the id that publish printed, or an error names in its details
  $ sealwire message msg_01kat4hvr07rf9mm9f7nrvz4gg.17     message 17 of a batch, counted from 0

States:
  acknowledged   the broker has it; "late" if it said so after publish had given up waiting
  sent           QoS 0: handed to the broker, which says nothing
  rejected       the broker refused it, or it was not sent for another reason: see code
  denied         policy, guard or allowed_operations refused it; nothing was sent
  unavailable    nothing was sent; publish it again
  unknown        bytes may have left, and nobody saw an acknowledgement. Publish again under the same --idempotency-key within
                 24 h and nothing is sent twice; under a new key it is sent again, and consumers see two message ids
  in_progress    ask again in a moment
  mixed          a batch whose messages ended differently; ask for them one by one

object.not_found: nothing of it has been sent so far. While publish still runs that may change.

Exit codes: 0 acknowledged or sent, 1 rejected, denied or mixed, 3 unknown, 4 unavailable or in_progress.`

const exitCodes = {
  acknowledged: exit.ok,
  sent: exit.ok,
  rejected: exit.failed,
  denied: exit.failed,
  mixed: exit.failed,
  unknown: exit.unknown,
  unavailable: exit.later,
  in_progress: exit.later,
} as const satisfies Record<MessageStatus['state'], number>

/** The ends that occurred, with their numbers. */
function counted(items: NonNullable<MessageStatus['items']>): string {
  const occurred = Object.entries(items).filter(([, count]) => count > 0)
  return occurred.map(([state, count]) => `${count} ${state}`).join(', ')
}

/** Lines for people: what is not known, or not the case, is left out. */
function linesOf({ late, items, ...status }: MessageStatus): string[] {
  const members: Record<string, string | number | boolean | null> = {
    ...status,
    ...(late && { late: `${late.state} at ${late.at}` }),
    ...(items && { items: counted(items) }),
  }
  return Object.entries(members).flatMap(([name, value]) =>
    value === null ? [] : printable(`${name.padEnd(13)} ${String(value)}`),
  )
}

/** `sealwire message ID` prints what became of a message, from the verified answer; the exit code says it too. */
export function addMessage(program: Command, io: Io, setExitCode: (code: number) => void): void {
  addRecipientOption(addServerOptions(program.command('message <id>')))
    .description('tell what became of a message, acknowledgements that came late included')
    .option('--json', 'print JSON, with the envelope')
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, options: ServerOptions & RecipientOption & { json?: true }) => {
      const client = await connectSealed(io, options)
      const { result, envelope } = await client.proxy.message(id, { signal: io.signal })
      if (options.json) io.out(JSON.stringify({ result, envelope }))
      else for (const line of linesOf(result)) io.out(line)
      setExitCode(exitCodes[result.state])
    })
}
