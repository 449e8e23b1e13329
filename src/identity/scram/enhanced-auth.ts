import { type Bytes, utf8 } from '../../core/bytes.ts'
import type { RefusalReason } from '../provider.ts'
import { type Challenge, challenge, verifyFinal } from './exchange.ts'
import { parseClientFirst } from './messages.ts'
import { saslPrep } from './saslprep.ts'
import { type ScramMethod, type ScramVerifier, scramMethods } from './verifier.ts'

/** Reason codes of MQTT 5 (§2.4) that an exchange ends or goes on with. */
export const authCodes = {
  success: 0x00,
  goOn: 0x18,
  again: 0x19,
  protocolError: 0x82,
  notAuthorized: 0x87,
  badMethod: 0x8c,
} as const

/** Somebody with a password; `user` is whatever the caller keeps of them. */
export interface ScramUser<User> {
  readonly verifier: ScramVerifier
  readonly user: User
  /** Goes through the whole exchange and fails at its end, so that only who has the password could tell. */
  readonly disabled?: boolean
}

export interface EnhancedAuthDeps<User> {
  /** From memory: a user by its prepared name. */
  find(username: string, method: ScramMethod): ScramUser<User> | undefined
  /** Of `createDecoy`. */
  decoy(method: ScramMethod, username: string): ScramVerifier
  /** 18 random characters of base64 or more, never the same twice. */
  serverNonce(): string
}

interface Established<User> {
  readonly phase: 'established'
  readonly method: ScramMethod
  readonly username: string
  readonly user: User
}

interface Challenged<User> {
  readonly phase: 'challenged'
  readonly method: ScramMethod
  readonly challenge: Challenge
  readonly found: ScramUser<User> | undefined
  /** While a client that is connected authenticates again; it goes on as what it was until that is done. */
  readonly before: Established<User> | undefined
}

export type EnhancedAuthState<User> = Established<User> | Challenged<User> | { readonly phase: 'ended' }

/** A packet to send. After `connack` with a code of 0x80 or more, and after `disconnect`, the connection is closed. */
export interface AuthReply {
  readonly packet: 'auth' | 'connack' | 'disconnect'
  readonly reasonCode: number
  readonly method?: ScramMethod
  readonly data?: Bytes
}

export interface AuthStep<User> {
  readonly state: EnhancedAuthState<User>
  readonly reply: AuthReply
  /** Why it ended, for the log: the client learns no more than the reason code. */
  readonly refused?: { readonly reason: RefusalReason; readonly problem: string }
}

/** The Authentication Method and Authentication Data of CONNECT, and its User Name where there is one. */
export interface ConnectAuth {
  readonly method: string
  readonly data: Uint8Array | undefined
  readonly username: string | undefined
}

export interface AuthPacket {
  readonly reasonCode: number
  readonly method: string | undefined
  readonly data: Uint8Array | undefined
}

type Before<User> = Established<User> | undefined

function refuse<User>(
  before: Before<User>,
  reason: RefusalReason,
  problem: string,
  reasonCode: number = authCodes.notAuthorized,
): AuthStep<User> {
  const packet = before ? 'disconnect' : 'connack'
  return { state: { phase: 'ended' }, reply: { packet, reasonCode }, refused: { reason, problem } }
}

function begin<User>(
  method: ScramMethod,
  data: Uint8Array | undefined,
  expectedName: string | undefined,
  before: Before<User>,
  deps: EnhancedAuthDeps<User>,
): AuthStep<User> {
  if (!data) return refuse(before, 'exchange-invalid', 'no message')
  const first = parseClientFirst(data)
  if ('problem' in first) return refuse(before, 'exchange-invalid', first.problem)
  if (expectedName !== undefined && saslPrep(expectedName, 'query') !== first.username)
    return refuse(before, 'username-mismatch', 'the exchange is about another user')
  const decoy = deps.decoy(method, first.username) // always: an unknown user costs what a known one does
  const found = deps.find(first.username, method)
  if (found && found.verifier.method !== method) throw new TypeError('a verifier of another method')
  const challenged = challenge(first, found?.verifier ?? decoy, deps.serverNonce())
  return {
    state: { phase: 'challenged', method, challenge: challenged, found, before },
    reply: { packet: 'auth', reasonCode: authCodes.goOn, method, data: utf8(challenged.serverFirst) },
  }
}

/**
 * Begins the exchange that a CONNECT with an Authentication Method asks for. An Authentication Method that is not offered ends
 * it with 0x8C, everything else that is wrong with 0x87.
 *
 * @see OASIS MQTT 5.0 §4.12, §4.12.0; RFC 5802 §3
 */
export function beginEnhancedAuth<User>(connect: ConnectAuth, deps: EnhancedAuthDeps<User>): AuthStep<User> {
  const method = scramMethods.find((one) => one === connect.method)
  if (!method) return refuse(undefined, 'exchange-invalid', 'an unknown method', authCodes.badMethod)
  return begin(method, connect.data, connect.username === '' ? undefined : connect.username, undefined, deps)
}

function finish<User>(
  { method, challenge: challenged, found, before }: Challenged<User>,
  data: Uint8Array | undefined,
): AuthStep<User> {
  if (!data) return refuse(before, 'exchange-invalid', 'no message')
  const verdict = verifyFinal(challenged, data)
  if ('problem' in verdict) {
    const wrong = found ? 'wrong-password' : 'unknown-user'
    return refuse(before, verdict.wrongProof ? wrong : 'exchange-invalid', verdict.problem)
  }
  if (!found) return refuse(before, 'unknown-user', 'a proof that fits nobody')
  if (found.disabled) return refuse(before, 'disabled', 'the user is disabled')
  const { username } = challenged.first
  const packet = before ? 'auth' : 'connack'
  return {
    state: { phase: 'established', method, username, user: found.user },
    reply: { packet, reasonCode: authCodes.success, method, data: verdict.serverFinal },
  }
}

/**
 * Takes an AUTH packet: the client's answer to a challenge (0x18), or its wish to authenticate again (0x19), for which method
 * and user stay what they are. Every failure ends the connection. Never throws for what a client sent.
 *
 * @see OASIS MQTT 5.0 §4.12.1
 */
export function continueEnhancedAuth<User>(
  state: EnhancedAuthState<User>,
  { reasonCode, method, data }: AuthPacket,
  deps: EnhancedAuthDeps<User>,
): AuthStep<User> {
  const before = state.phase === 'established' ? state : state.phase === 'challenged' ? state.before : undefined
  const outOfTurn = (problem: string) => refuse(before, 'exchange-invalid', problem, authCodes.protocolError)
  if (state.phase === 'ended') return outOfTurn('after the end')
  const expected = state.phase === 'challenged' ? authCodes.goOn : authCodes.again
  if (reasonCode !== expected) return outOfTurn('an AUTH out of turn')
  if (method !== state.method) {
    // [MQTT-4.12.0-5], [MQTT-4.12.1-1]; 0x8C is no code of DISCONNECT (§3.14.2.1).
    if (before) return outOfTurn('another method')
    return refuse(before, 'exchange-invalid', 'another method', authCodes.badMethod)
  }
  if (state.phase === 'challenged') return finish(state, data)
  return begin(state.method, data, state.username, state, deps)
}
