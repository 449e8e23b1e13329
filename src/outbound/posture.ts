import type { TLSSocket } from 'node:tls'

/** How the link to a broker is protected, as it was negotiated; snake_case because answers show it as it is. */
export interface Posture {
  readonly plaintext: boolean
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly tls_version: string | null
  /** IANA name of the cipher suite. */
  readonly cipher: string | null
  /** Group of the key exchange, such as `X25519MLKEM768` or `X25519`. */
  readonly group: string | null
  readonly post_quantum: boolean
}

export const PLAINTEXT: Posture = {
  plaintext: true,
  tls_version: null,
  cipher: null,
  group: null,
  post_quantum: false,
}

/** Reads the posture of a socket whose handshake is done. */
export function postureOf(socket: TLSSocket): Posture {
  const ephemeral = socket.getEphemeralKeyInfo()
  const group = ephemeral !== null && 'name' in ephemeral && ephemeral.name ? ephemeral.name : null
  return {
    plaintext: false,
    tls_version: socket.getProtocol(),
    cipher: socket.getCipher().standardName,
    group,
    post_quantum: group !== null && /mlkem/i.test(group), // ML-KEM alone, or in a hybrid group
  }
}
