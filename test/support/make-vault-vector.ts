/**
 * Prints `test/vectors/vault-record.json`, or with `custody` `vault-record-custody.json`, made once and frozen. It follows the
 * description of the record, not its code: nothing of `src/vault` is used, so that the two check each other. Run with
 * `node test/support/make-vault-vector.ts [custody]`.
 */
import { createCipheriv, createHash, hkdfSync } from 'node:crypto'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'

const lp = (value: string | Uint8Array) => {
  const bytes = Buffer.from(value)
  return Buffer.concat([u32(bytes.length), bytes])
}
const u32 = (value: number) => {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}
const range = (from: number, length: number) => Buffer.from(Array.from({ length }, (_, i) => (from + i) & 255))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const custody = process.argv[2] === 'custody' ? 1 : 0
const context = {
  tenantId: 'ten_01kat4hvr07rf9mm9f7nrvz4gg',
  entryId: '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10',
  version: 3,
  credentialType: 'custom_kv',
  schema: 1,
  custody,
}
const values = '{"hostname":"broker.example","port":8883,"username":"sealwire","password":"correct horse"}'
const [vaultKeyId, shareKmsKeyId] = ['kem_01kat4hvr07rf9mm9f7nrvz4gg', 'local-1']
const [kemSeed, coins, share, nonce, wrappedShare, custodyShare] = [
  range(0, 64),
  range(64, 32),
  range(96, 32),
  range(128, 12),
  range(140, 96),
  range(7, custody * 32),
]

const { publicKey: ek } = ml_kem768.keygen(kemSeed)
const { cipherText: kemCiphertext, sharedSecret } = ml_kem768.encapsulate(ek, coins)
const contextBytes = Buffer.concat([
  lp(context.tenantId),
  lp(context.entryId),
  u32(context.version),
  lp(context.credentialType),
  u32(context.schema),
  Buffer.from([context.custody]),
])
const ikm = Buffer.concat([sharedSecret, share, custodyShare])
const salt = createHash('sha512').update(kemCiphertext).update(ek).digest()
const info = Buffer.concat([Buffer.from('sealwire/vault/v1\0'), lp(contextBytes)])
const okm = Buffer.from(hkdfSync('sha512', ikm, salt, info, 64))
const cipher = createCipheriv('aes-256-gcm', okm.subarray(0, 32), nonce).setAAD(contextBytes)
const sealed = Buffer.concat([nonce, cipher.update(values), cipher.final(), cipher.getAuthTag()])
const commitment = okm.subarray(32)
const digestInput = Buffer.concat([
  Buffer.from('sealwire/vault/v1/record\0'),
  ...[contextBytes, vaultKeyId, shareKmsKeyId, kemCiphertext, wrappedShare, commitment, sealed].map(lp),
])

const vector = {
  context,
  values,
  vaultKeyId,
  shareKmsKeyId,
  kemSeed: hex(kemSeed),
  encapsulationCoins: hex(coins),
  ek: hex(ek),
  sharedSecret: hex(sharedSecret),
  share: hex(share),
  ...(custody === 1 && { custodyShare: hex(custodyShare) }),
  contextBytes: hex(contextBytes),
  ikm: hex(ikm),
  salt: hex(salt),
  info: hex(info),
  okm: hex(okm),
  nonce: hex(nonce),
  kemCiphertext: hex(kemCiphertext),
  wrappedShare: hex(wrappedShare),
  commitment: hex(commitment),
  sealed: hex(sealed),
  recordSha384: createHash('sha384').update(digestInput).digest('hex'),
}
process.stdout.write(`${JSON.stringify(vector, null, 2)}\n`)
