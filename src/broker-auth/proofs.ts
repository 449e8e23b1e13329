import { LRUCache } from 'lru-cache'
import type { Credentials } from '../identity/provider.ts'
import { type Session, sessionId, writeSession } from './session.ts'
import { bytesOf, type LiveSession } from './session-memory.ts'

/** What tokens that came with questions were found to show; whether it still holds is asked each time. */
export interface Proofs {
  find(proof: Credentials, username: string): LiveSession | undefined
  keep(proof: Credentials, username: string, session: Session): LiveSession
}

/** A token is judged again after so long, whatever it says. */
const TTL_MS = 60_000
const MOST = { max: 10_000, maxSize: 64 * 1024 * 1024 }

interface Known {
  readonly live: LiveSession
  readonly untilMs: number
  readonly bytes: number
}

const keyOf = (proof: Credentials, username: string): string =>
  `${sessionId(username, proof.clientId)}\u0000${proof.bearer?.reveal() ?? ''}`

export function createProofs(monotonic: () => number): Proofs {
  const proofs = new LRUCache<string, Known>({
    ...MOST,
    sizeCalculation: ({ bytes }, key) => key.length + bytes,
  })
  return {
    find(proof, username) {
      const known = proofs.get(keyOf(proof, username))
      return known !== undefined && monotonic() < known.untilMs ? known.live : undefined
    },
    keep(proof, username, session) {
      const live: LiveSession = { session }
      const bytes = bytesOf(session, writeSession(session))
      proofs.set(keyOf(proof, username), { live, untilMs: monotonic() + TTL_MS, bytes })
      return live
    },
  }
}
