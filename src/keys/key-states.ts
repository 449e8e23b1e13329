import type { KeyPurpose } from '../kms/kms.ts'
import type { KeyState } from './stored-key.ts'

type Transitions = Readonly<Partial<Record<KeyState, readonly KeyState[]>>>

/** Published before it is used. Revocation is for ever: no state that comes after it would tell readers so. */
const publishedKey: Transitions = {
  next: ['active', 'revoked'],
  active: ['retired', 'revoked'],
  retired: ['destroyed', 'revoked'],
  destroyed: ['revoked'],
}

/** Used from the moment it is made, by those alone who made it. */
const ownKey: Transitions = { active: ['retired'], retired: ['destroyed'] }

/** Dies with the one thing that it belongs to. */
const boundKey: Transitions = { active: ['retired', 'destroyed'], retired: ['destroyed'] }

/** Purposes without a line never change their state. */
const transitions: Readonly<Partial<Record<KeyPurpose, Transitions>>> = {
  'issuer-key': publishedKey,
  'audit-key': publishedKey,
  'root-key': ownKey,
  'api-key-pepper': ownKey,
  'cursor-key': ownKey,
  'vault-key': ownKey,
  'recipient-seed': boundKey,
  'mac-key': boundKey,
  'sign-key': ownKey,
  'sign-mac-key': ownKey,
  'object-key': ownKey,
  'object-mac-key': ownKey,
  'v1-key': ownKey,
  'v1-sign-key': ownKey,
  'v1-mac-key': ownKey,
}

/** Reports whether a key of that purpose may go from one state to another. Pure and total; starts at deny. */
export function mayMove(purpose: KeyPurpose, from: KeyState, to: KeyState): boolean {
  return transitions[purpose]?.[from]?.includes(to) ?? false
}

/** Reports whether keys of a purpose stand in the key document. */
export function isPublished(purpose: KeyPurpose): boolean {
  return purpose === 'issuer-key' || purpose === 'audit-key'
}

/** Seconds that a reader may keep the key document: the `max-age` of `/.well-known/sealwire-keys`. */
export const DOCUMENT_MAX_AGE_S = 300
/** Milliseconds by which clocks of replicas and readers may differ. */
export const CLOCK_SKEW_MS = 60_000

/** When every cached document holds a key that was published at `notBefore`: then it may sign. */
export function activeFromMs({ notBefore }: { notBefore: Date }): number {
  return notBefore.getTime() + DOCUMENT_MAX_AGE_S * 1000 + CLOCK_SKEW_MS
}
