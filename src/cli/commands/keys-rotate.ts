import { Argument, type Command } from 'commander'
import type { Io } from '../io.ts'
import { assertConfirmed, bringRoot, withKeys } from '../key-operator.ts'
import type { LoadOperator } from '../operator.ts'

interface Options {
  rootFile?: string
  yes?: true
  everybodyPinsAnew?: true
  json?: true
}

const published = { issuer: 'issuer-key', audit: 'audit-key' } as const
const replaced = { pepper: 'api-key-pepper', cursor: 'cursor-key', root: 'root-key' } as const
type Published = keyof typeof published
type Replaced = keyof typeof replaced

const HELP = `
issuer, audit  The first call publishes a key. Once every cached key document holds it, after six minutes, a running
               server activates it; a second call does the same by hand. The old key is retired, and its private half
               destroyed a minute later. No reader notices.
pepper         At once. API keys move to the new one when they are next used; the old pepper is destroyed when none is
               left under it. No API key changes.
cursor         At once. Lists that somebody is paging through have to be begun again.
root           At once, and everybody has to know: see --everybody-pins-anew.

Examples:
  $ sealwire keys rotate issuer
  $ sealwire keys rotate issuer --root-file root.json      while the root is offline`

const whatWillHappen: Readonly<Record<Replaced, string>> = {
  pepper: '',
  cursor: 'Every cursor that is in use now is refused from then on: those lists have to be begun again.',
  root:
    'A new root is trusted by nobody: every recipient has pinned the old one and refuses the new key document. Answers go ' +
    'on opening for those who know the present keys until their document ends (at most 7 days, 90 with the root offline), ' +
    'but the next new issuer key stops everybody who has not pinned the new fingerprint or enrolled again. There is no way back.',
}

/** `sealwire keys rotate WHICH` takes the next step of a rotation. */
export function addKeysRotate(keys: Command, io: Io, load: LoadOperator): void {
  keys
    .command('rotate')
    .addArgument(new Argument('<which>', 'the key').choices([...Object.keys(published), ...Object.keys(replaced)]))
    .description('put a new key in the place of one')
    .option('--root-file <file>', 'the root key, where it is offline: signs the document with the new key')
    .option('--yes', 'for cursor: I know that lists have to be begun again')
    .option('--everybody-pins-anew', 'for root: I know that every recipient has to pin the new root')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action((which: Published | Replaced, options: Options) =>
      which === 'issuer' || which === 'audit'
        ? rotatePublished(io, load, which, options)
        : replaceKey(io, load, which, options),
    )
}

async function rotatePublished(io: Io, load: LoadOperator, which: Published, { rootFile, json }: Options) {
  const rotation = await withKeys(io, load, async (operations) =>
    operations.rotate(published[which], await bringRoot(io, operations, rootFile)),
  )
  const { step, keyId, activeFrom, replacedId, isInDocument } = rotation
  const from = activeFrom.toISOString()
  io.out(
    json
      ? JSON.stringify({ step, key_id: keyId, active_from: from, replaced_id: replacedId, in_document: isInDocument })
      : keyId,
  )
  if (step === 'published') {
    io.err(`${keyId} is published. A running server activates it after ${from}, when cached documents have expired.`)
    io.err(`hint: without a running server, run the same command again then: sealwire keys rotate ${which}`)
  } else if (step === 'waiting') io.err(`${keyId} is published already and becomes active after ${from}.`)
  else io.err(`${keyId} is active. ${replacedId} is retired; its private half is destroyed in a minute.`)
  if (!isInDocument)
    io.err('hint: bring the root before the present document ends: sealwire keys root sign --root-file FILE')
}

async function replaceKey(io: Io, load: LoadOperator, which: Replaced, options: Options) {
  const { yes, everybodyPinsAnew, json } = options
  if (which === 'root') assertConfirmed(everybodyPinsAnew === true, whatWillHappen.root, '--everybody-pins-anew')
  if (which === 'cursor') assertConfirmed(yes === true, whatWillHappen.cursor)
  const { keyId, replacedId, fingerprint } = await withKeys(io, load, async (operations, keys) => {
    const made = await operations.replace(replaced[which])
    await keys.reload()
    return { ...made, fingerprint: keys.rootFingerprint }
  })
  const root = which === 'root' ? { root: fingerprint } : {}
  io.out(json ? JSON.stringify({ key_id: keyId, replaced_id: replacedId, ...root }) : keyId)
  if (which === 'root') {
    io.err(`The root is now ${fingerprint}. Give it to every recipient by a way that you trust.`)
    io.err('hint: sealwire recipients enroll --root-fingerprint FINGERPRINT --out FILE, or change "root" in its file')
  } else if (which === 'pepper') {
    io.err(`${keyId} is active. API keys move from ${replacedId} when they are next used.`)
    io.err('hint: sealwire keys list counts those that have not')
  } else io.err(`${keyId} is active. ${replacedId} is destroyed.`)
}
