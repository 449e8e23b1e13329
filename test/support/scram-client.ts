import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

const hashes: Readonly<Record<string, string>> = { 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512' }

/** The client's side of SCRAM (RFC 5802 §3), written from the RFC and sharing nothing with the server's. */
export function scramClient(
  method: string,
  username: string,
  password: string,
  nonce = 'fyko+d2lbbFgONRv9qkxdawL',
  /** What the last message says that the first began with. */
  header = 'n,,',
) {
  const hash = hashes[method] ?? 'sha256'
  const mac = (key: Uint8Array, text: string) => createHmac(hash, key).update(text).digest()
  const bare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`
  return {
    first: Buffer.from(`n,,${bare}`),
    /** The last message, and the signature that the server must answer with. */
    answer(serverFirst: Uint8Array | undefined, ...extensions: string[]): { final: Buffer; signature: string } {
      const text = Buffer.from(serverFirst ?? []).toString()
      const [, both = '', salt = '', count = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(text) ?? []
      const size = createHash(hash).digest().length
      const salted = pbkdf2Sync(password.normalize('NFKC'), Buffer.from(salt, 'base64'), Number(count), size, hash)
      const clientKey = mac(salted, 'Client Key')
      const withoutProof = [`c=${Buffer.from(header).toString('base64')},r=${both}`, ...extensions].join()
      const message = `${bare},${text},${withoutProof}`
      const signature = mac(createHash(hash).update(clientKey).digest(), message)
      const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))).toString('base64')
      const expected = mac(mac(salted, 'Server Key'), message).toString('base64')
      return { final: Buffer.from(`${withoutProof},p=${proof}`), signature: `v=${expected}` }
    },
  }
}
