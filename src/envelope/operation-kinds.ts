/** What a claim of one kind of envelope may be: a value, `null`, or either. */
type Presence = 'value' | 'null' | 'either'

export interface OperationKind {
  readonly sub: Presence
  readonly rqh: Presence
  readonly st: Presence
  readonly seq: Presence
  /** Longest `exp − iat` in seconds; `null`: it does not expire and `exp` is `null`. */
  readonly maxLifeS: number | null
}

const FIVE_MINUTES_S = 300
const NINETY_DAYS_S = 90 * 24 * 3600

/** The answer to one request; `op` is then an operation id of the API. */
const answer: OperationKind = { sub: 'either', rqh: 'either', st: 'value', seq: 'null', maxLifeS: FIVE_MINUTES_S }

const otherKinds: ReadonlyMap<string, OperationKind> = new Map<string, OperationKind>([
  ['stream.event', { sub: 'value', rqh: 'either', st: 'null', seq: 'value', maxLifeS: FIVE_MINUTES_S }],
  ['webhook.delivery', { sub: 'value', rqh: 'null', st: 'null', seq: 'null', maxLifeS: FIVE_MINUTES_S }],
  ['stored.message', { sub: 'value', rqh: 'null', st: 'null', seq: 'value', maxLifeS: NINETY_DAYS_S }],
  ['stored.object', { sub: 'null', rqh: 'null', st: 'null', seq: 'null', maxLifeS: null }],
])

/** The `op` of the answer that hands a MAC key over; only `openEnrolment` opens it. */
export const ENROLMENT_OPERATION = 'recipients.enroll'

/** Reports whether `op` is the answer to a request, as opposed to the four kinds that have a name of their own. */
export function isAnswer(op: string): boolean {
  return !otherKinds.has(op)
}

/** Reports whether an envelope with this `op` is kept and opened later, even after its signer was revoked. */
export function isStored(op: string): boolean {
  return op === 'stored.message' || op === 'stored.object'
}

/** Finds the rules for the claims of an envelope with this `op`. */
export function kindOf(op: string): OperationKind {
  return otherKinds.get(op) ?? answer
}
