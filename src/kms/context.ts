import { type Bytes, concatBytes, lengthPrefixed } from '../core/bytes.ts'
import type { WrapContext } from './kms.ts'

/** Encodes an encryption context: pairs sorted by name, each `LP(name) || LP(value)`. Names are ASCII. */
export function encodeContext(context: WrapContext): Bytes {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return concatBytes(...pairs.flatMap((pair) => pair.map(lengthPrefixed)))
}
