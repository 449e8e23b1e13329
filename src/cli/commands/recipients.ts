import type { Command } from 'commander'
import type { Io } from '../io.ts'
import { addRecipientsEnroll } from './recipients-enroll.ts'
import { addRecipientsList } from './recipients-list.ts'
import { addRecipientsRevoke } from './recipients-revoke.ts'
import { addRecipientsRotate } from './recipients-rotate.ts'
import { addRecipientsShow } from './recipients-show.ts'

const EXAMPLES = `
Each API key has one recipient: the file that opens the answers to it. Only its holder can open them, so the server has no
copy, and what was sealed to a lost file stays closed.

A second machine: an API key and a file of its own.
  $ sealwire api-keys create line-5 --role editor          on a machine with keys:manage
  $ sealwire recipients enroll --out recipient.json        on the new machine, with that key

A lost file: end its recipient, and enrol with a key that never did, or with one that holds keys:manage.
  $ sealwire recipients list
  $ sealwire recipients revoke rcp_…
  $ sealwire recipients enroll --out recipient.json

A stolen file: revoke first. Within a second nothing more is sealed to it.

A moved file works anywhere, with mode 0600 and the API key it was enrolled with. A server that moved is named by --base-url
or SEALWIRE_URL; it is still held to the root in the file.`

/** `sealwire recipients …`: who opens the answers to an API key. */
export function addRecipients(recipients: Command, io: Io): void {
  recipients.addHelpText('after', EXAMPLES)
  addRecipientsEnroll(recipients, io)
  addRecipientsList(recipients, io)
  addRecipientsShow(recipients, io)
  addRecipientsRotate(recipients, io)
  addRecipientsRevoke(recipients, io)
}
