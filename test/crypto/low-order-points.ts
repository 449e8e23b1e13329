import assert from 'node:assert/strict'
import { type Bytes, copyBytes } from '#src/core/bytes.ts'
import { fromHex } from '#src/core/hex.ts'

/** The points of low order of Curve25519, in every spelling below 2^255: 0, 1, two of order 8, p − 1, p, p + 1. */
const spellings = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((text) => fromHex(text) ?? assert.fail())

function withHighestBit(point: Bytes): Bytes {
  const changed = copyBytes(point)
  changed[31] = (changed[31] as number) | 0x80
  return changed
}

/** Public keys with which X25519 gives zero for every scalar; its highest bit is ignored (RFC 7748 §5). */
export const lowOrderPoints: readonly Bytes[] = spellings.flatMap((point) => [point, withHighestBit(point)])
