import type { Identity } from '../policy/identity.ts'
import type { Credentials } from './provider.ts'

/** The members of an identity that the connection itself tells; every provider starts from these. Never the username. */
export function connectionFacts(credentials: Credentials): Identity {
  const { clientId, ip, protocol, listener, tls } = credentials
  return {
    clientId,
    ...(ip === undefined ? {} : { ip }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(listener === undefined ? {} : { listener }),
    ...(tls === undefined ? {} : { tls }),
  }
}
