/**
 * The steps of one publish, in their order, at which a process may be killed. What a retry answers after each is in
 * `src/idempotency/README.md`.
 */
export const crashPoints = [
  'claimed', // the Idempotency-Key is ours
  'allowed', // the operation is allowed, topic and payload are within bounds
  'judged', // policy and guards have said yes
  'admitted', // the answer has its place at the signer
  'intended', // the intent is on record: from here on bytes may leave
  'connected', // the connection has logged in, and the message has its place in the window
  'publishing', // the next thing is PUBLISH
  'published', // the packet was given to the socket; its bytes leave with this turn of the event loop
  'acknowledged', // PUBACK or PUBCOMP was read
  'recorded', // the outcome is on record
  'kept', // the answer is kept under the key
  'sealed', // the answer is sealed and signed, and not sent
] as const

export type CrashPoint = (typeof crashPoints)[number]

/** Is told of each step as it is reached. */
export type Reached = (step: CrashPoint) => void

/** What a server runs with. */
export const unwatched: Reached = () => undefined
