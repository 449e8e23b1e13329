import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { type Bytes, concatBytes, u64 } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'

/** AES-GCM's field: bit 0 of a block is the coefficient of x^0, so blocks are read from the left (SP 800-38D §6.3). */
const R = 0xe1n << 120n

const toBlock = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`)
const fromBlock = (block: bigint): Bytes => fromHex(block.toString(16).padStart(32, '0')) ?? assert.fail('not a block')

function multiply(x: bigint, y: bigint): bigint {
  let product = 0n
  let v = y
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((x >> bit) & 1n) product ^= v
    v = v & 1n ? (v >> 1n) ^ R : v >> 1n
  }
  return product
}

/** x^(2^128 − 2): the inverse, as the group has order 2^128 − 1. */
function invert(x: bigint): bigint {
  let result = 1n << 127n
  let square = x
  for (let i = 1; i < 128; i++) {
    square = multiply(square, square)
    result = multiply(result, square)
  }
  return result
}

const encryptBlock = (key: Uint8Array, block: Uint8Array): bigint =>
  toBlock(createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block))

function padded(bytes: Uint8Array): Bytes {
  return concatBytes(bytes, new Uint8Array((16 - (bytes.length % 16)) % 16))
}

function ghash(h: bigint, data: Uint8Array): bigint {
  let y = 0n
  for (let at = 0; at < data.length; at += 16) y = multiply(y ^ toBlock(data.subarray(at, at + 16)), h)
  return y
}

/**
 * Computes `ciphertext || tag` of two blocks that AES-256-GCM opens under both keys, with the same nonce and AAD: the first
 * block is given, the second solves the one linear equation that makes both tags equal.
 */
export function collide(
  keys: readonly [Uint8Array, Uint8Array],
  nonce: Uint8Array,
  aad: Uint8Array,
  first: Uint8Array,
): Bytes {
  const lengths = concatBytes(u64(aad.length * 8), u64(32 * 8))
  const sides = keys.map((key) => {
    const h = encryptBlock(key, new Uint8Array(16))
    const mask = encryptBlock(key, concatBytes(nonce, new Uint8Array([0, 0, 0, 1])))
    const tagWith = (second: Uint8Array) => mask ^ ghash(h, concatBytes(padded(aad), first, second, lengths))
    return { tagWith, weight: multiply(h, h) } // the second block is the last but one of the hash
  })
  const [a, b] = [sides[0] ?? assert.fail(), sides[1] ?? assert.fail()]
  const difference = a.tagWith(new Uint8Array(16)) ^ b.tagWith(new Uint8Array(16))
  const second = fromBlock(multiply(difference, invert(a.weight ^ b.weight)))
  return concatBytes(first, second, fromBlock(a.tagWith(second)))
}
