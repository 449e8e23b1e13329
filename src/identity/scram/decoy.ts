import { createHmac } from 'node:crypto'
import { copyBytes } from '../../core/bytes.ts'
import { SCRAM_ITERATIONS, SCRAM_SALT_BYTES, type ScramMethod, type ScramVerifier, scramHashes } from './verifier.ts'

/**
 * Makes verifiers for users that do not exist, so that a challenge does not tell who does: the same salt for the same name
 * each time, and no proof that fits. A user is hidden among them when its own verifier has as many iterations and a salt of
 * 16 bytes.
 *
 * @param key 32 random bytes that outlive restarts and are the same in every replica; a salt that changes tells as much
 */
export function createDecoy(
  key: Uint8Array,
  iterations: number = SCRAM_ITERATIONS.usual,
): (method: ScramMethod, username: string) => ScramVerifier {
  if (key.length < 32) throw new TypeError('a decoy key of less than 32 bytes')
  return (method, username) => {
    const derive = (purpose: 'salt' | 'stored' | 'server', sizeBytes: number) => {
      const mac = createHmac('sha512', key).update(`sealwire/scram-decoy\0${purpose}\0${method}\0${username}`, 'utf8')
      return copyBytes(mac.digest().subarray(0, sizeBytes))
    }
    const { sizeBytes } = scramHashes[method]
    const salt = derive('salt', SCRAM_SALT_BYTES.usual)
    return { method, iterations, salt, storedKey: derive('stored', sizeBytes), serverKey: derive('server', sizeBytes) }
  }
}
