/** OIDs of built-in types: the same in every version of PostgreSQL. */
const OID = { bytea: 17, bigint: 20, text: 25, timestamptz: 1184 } as const
const HEADER_BYTES = 20
/** PostgreSQL counts microseconds from 2000-01-01, UTC. */
const EPOCH_US = Date.UTC(2000, 0) * 1000

export interface RecordArray {
  /** Begins the next value; its attributes follow in the order of the type. */
  begin(): void
  text(value: string | null): void
  /** An integer of at most 2^53 − 1. */
  bigint(value: number): void
  /** Microseconds since 1970-01-01, UTC. */
  timestamptz(epochUs: number): void
  bytea(value: Uint8Array): void
  /** Returns the array as the value of one parameter; nothing may be added after that. */
  end(): Buffer
}

/**
 * Writes an array of composite values in PostgreSQL's binary format, to be given as one parameter `$n::type[]`: the server
 * takes it apart at half the cost of one array of text for each attribute.
 *
 * The type has `attributes` attributes, none of them dropped. Its OID, which differs from database to database, is left out:
 * since version 14 the server compares only those of built-in types.
 *
 * @see PostgreSQL, `array_recv` (arrayfuncs.c) and `record_recv` (rowtypes.c)
 */
export function createRecordArray(attributes: number, sizeHint = 4096): RecordArray {
  let bytes = Buffer.allocUnsafe(sizeHint + HEADER_BYTES)
  let end = HEADER_BYTES
  let count = 0
  let start = 0

  /** Makes room for an attribute's OID, length and value. */
  function reserve(sizeBytes: number): void {
    const needed = end + 8 + sizeBytes
    if (needed <= bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * bytes.length))
    bytes.copy(larger, 0, 0, end)
    bytes = larger
  }

  function head(oid: number, sizeBytes: number): void {
    bytes.writeInt32BE(oid, end)
    bytes.writeInt32BE(sizeBytes, end + 4)
    end += 8
  }

  function integer(oid: number, value: number): void {
    reserve(8)
    head(oid, 8)
    const high = Math.floor(value / 2 ** 32)
    bytes.writeInt32BE(high, end)
    bytes.writeUInt32BE(value - high * 2 ** 32, end + 4)
    end += 8
  }

  /** The length of a value stands in front of it, and is known when the next one begins. */
  function closeValue(): void {
    if (count > 0) bytes.writeInt32BE(end - start - 4, start)
  }

  return {
    begin() {
      closeValue()
      reserve(0)
      count++
      start = end
      bytes.writeInt32BE(attributes, end + 4)
      end += 8
    },
    text(value) {
      if (value === null) {
        reserve(0)
        head(OID.text, -1)
        return
      }
      reserve(3 * value.length) // UTF-8 has at most three bytes for each UTF-16 unit
      const sizeBytes = bytes.write(value, end + 8)
      head(OID.text, sizeBytes)
      end += sizeBytes
    },
    bigint: (value) => integer(OID.bigint, value),
    timestamptz: (epochUs) => integer(OID.timestamptz, epochUs - EPOCH_US),
    bytea(value) {
      reserve(value.length)
      head(OID.bytea, value.length)
      bytes.set(value, end)
      end += value.length
    },
    end() {
      closeValue()
      bytes.writeInt32BE(1, 0) // dimensions
      bytes.writeInt32BE(0, 4) // no value as a whole is null
      bytes.writeInt32BE(0, 8) // OID of the type
      bytes.writeInt32BE(count, 12)
      bytes.writeInt32BE(1, 16) // the first index
      return bytes.subarray(0, end)
    },
  }
}
