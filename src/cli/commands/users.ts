import type { Command } from 'commander'
import type { Io } from '../io.ts'
import type { LoadOperator } from '../operator.ts'
import { addUsersDisable, addUsersEnable, addUsersRemove } from './users-change.ts'
import { addUsersCheck } from './users-check.ts'
import { addUsersSet } from './users-set.ts'

const HELP = `
The file is the \`path\` of a provider with "type": "file" in BROKER_AUTH_CONFIG. A running server takes a new state of it within
two seconds, as a whole or not at all; what a changed or removed user was granted ends with it.

A new file is for its owner alone: make it as the user that the server runs as, or give it to that user once; later edits leave
owner and group as they are.

From nothing to a device that can connect:
  $ sealwire users set users.json sensor-1 --generate --group sensors
  $ sealwire users check users.json`

/** `sealwire users …`: the file of users whom MQTT clients may be. */
export function addUsers(users: Command, io: Io, load: LoadOperator): void {
  users.addHelpText('after', HELP)
  addUsersSet(users, io, load)
  addUsersDisable(users, io, load)
  addUsersEnable(users, io, load)
  addUsersRemove(users, io, load)
  addUsersCheck(users, io, load)
}
