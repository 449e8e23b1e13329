import { type SealwireError, UnprotectedError } from '../sdk/index.ts'

const hints: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'auth.unauthenticated':
      'check SEALWIRE_API_KEY; the first owner key is in the file owner-api-key of the data folder',
    'auth.forbidden': 'use a key with that scope, or make one: sealwire api-keys create NAME --role ROLE',
    'recipient.required': 'enrol once: sealwire recipients enroll --out recipient.json',
    'policy.invalid': 'sealwire acl validate FILE shows every problem with its place',
    'operation.not_allowed': 'add the operation to allowed_operations of the integration',
    'integration.locked':
      'a holder of the custody key unlocks it: sealwire integrations unlock ID --custody-key-file FILE',
    'rate.limited': 'send less at a time; the operator raises a quota: sealwire tenants set TENANT --rate-limit UNITS',
    'server.busy': 'try again in a moment, with fewer calls at once',
    'destination.not_allowed': 'the operator allows private brokers with OUTBOUND_ALLOW',
    'envelope.stale': 'answers open for 300 s; if this one is fresh, a clock is wrong',
    'envelope.issuer_unknown': 'the pinned root is not that of this server; ask its operator before you enrol again',
    'envelope.rejected': 'not made for this recipient, or changed on its way',
    network: 'is the server running, and is the URL right? --base-url URL or SEALWIRE_URL',
  }),
)

/** What the error itself suggests, unless its message says so already, else what is known of its code. */
function hintOf({ code, hint, message, details }: SealwireError): string | undefined {
  const id = details?.['message_id']
  if (code === 'outcome.unknown' && typeof id === 'string' && details?.['ask'] !== undefined)
    return `the broker may still say what became of it: sealwire message ${id}`
  return hint === undefined || message.endsWith(hint) ? hints.get(code) : hint
}

/** What usually helps, where it is known. A bare answer's own word is followed only so far as to look here. */
export function hintFor(error: SealwireError): string | undefined {
  if (!(error instanceof UnprotectedError)) return hintOf(error)
  const hint = hints.get(error.claim.code ?? '')
  return hint && `if that is true: ${hint}`
}
