import { createHash } from 'node:crypto'
import type { PolicyDocument } from '../policy/document.ts'
import type { Identity } from '../policy/identity.ts'

/** Somebody whom a provider accepted, under the name and the client id that the broker will ask with. */
export interface Session {
  /** As the client sent it; what was verified is in the identity. */
  readonly username: string
  readonly clientId: string
  readonly identity: Identity
  readonly rules?: PolicyDocument
  /** Unix milliseconds. */
  readonly expiresAt?: number
  readonly provider: string
  readonly grant: string
}

/** Where a hook's sessions are: its own, of its tenant, and of no other. */
export interface SessionPlace {
  readonly hook: string
  readonly tenantId: string
}

/** Tells pairs apart whatever characters are in them: the length of the first says where the second begins. */
export function sessionId(username: string, clientId: string): string {
  return `${username.length}:${username}${clientId}`
}

/** SHA-256 over parts with their lengths: no two lists of parts have the same input. */
function digestOf(...parts: readonly string[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest()
}

export function sessionKey({ hook, tenantId }: SessionPlace, username: string, clientId: string): Buffer {
  return digestOf('session', hook, tenantId, username, clientId)
}

export function userKey({ hook, tenantId }: SessionPlace, username: string): Buffer {
  return digestOf('user', hook, tenantId, username)
}

/** Whose session it is, for what one may have: the verified name, whatever the client calls itself. */
export function ownerOf({ identity, username, provider }: Session): string {
  return `${provider} ${identity.username ?? identity.sub ?? username}`
}

export function ownerKey({ hook, tenantId }: SessionPlace, session: Session): Buffer {
  return digestOf('owner', hook, tenantId, ownerOf(session))
}

/** 16 hexadecimal digits that tell one content of a session from another. */
export function contentTag(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

/** The session without its names, which the row must not hold: a token may be among them. */
export function writeSession({ identity, rules, provider, grant, expiresAt }: Session): string {
  return JSON.stringify({ identity, rules, provider, grant, expiresAt })
}

/** Reads what {@link writeSession} wrote; the names are those that it was found by. */
export function readSession(text: string, username: string, clientId: string): Session {
  return { username, clientId, ...(JSON.parse(text) as Omit<Session, 'username' | 'clientId'>) }
}
