import type { Command } from 'commander'
import { counted } from '../counted.ts'
import { withUsersFile } from '../edit-users.ts'
import { type Io, printable } from '../io.ts'
import type { LoadOperator } from '../operator.ts'

/** `sealwire users check FILE` reads a file as a server would. */
export function addUsersCheck(users: Command, io: Io, load: LoadOperator): void {
  users
    .command('check <file>')
    .description('read a file as a server would, and say what is wrong or weak; exit code 1 when it would not be taken')
    .option('--json', 'print JSON')
    .action(async (file: string, { json }: { json?: true }) => {
      const checked = await withUsersFile(io, load, file, (usersFile) => usersFile.checkUsersFile(file))
      const { users: count, disabled, scram, kinds, weak, isOpen } = checked
      if (json) {
        const hashes = Object.fromEntries(kinds)
        io.out(JSON.stringify({ users: count, disabled, scram, hashes, weak, open_to_others: isOpen }))
      } else {
        io.out(printable(`${file}: ${counted(count, 'user')}, ${disabled} disabled, ${scram} with SCRAM`))
        for (const [kind, of] of kinds) io.out(`  ${kind}: ${of}`)
      }
      if (weak > 0)
        io.err(`warning: ${counted(weak, 'user')} with a hash that is cheap to guess from; set the passwords anew`)
      if (kinds.length > 1)
        io.err('warning: hashes of several costs: how long an answer takes tells names of a rare one')
      if (isOpen) io.err('warning: everybody on this host can read the file; chmod 640 or 600')
    })
}
