/**
 * Follows the framing of incoming MQTT packets, so that a packet is refused by its announced length and not after it
 * was collected in memory. The function says `false` from the first packet that is longer than `maxBytes`, or whose
 * length is malformed.
 *
 * @see OASIS MQTT 5.0 §2.1.4 (remaining length: at most four bytes)
 */
export function createPacketGuard(maxBytes: number): (chunk: Uint8Array) => boolean {
  /** Bytes of the current packet that are still to come; 0 while its header is read. */
  let missing = 0
  let headerBytes = 0
  let length = 0

  return (chunk) => {
    let i = 0
    while (i < chunk.length) {
      if (missing > 0) {
        const step = Math.min(missing, chunk.length - i)
        missing -= step
        i += step
        continue
      }
      const byte = chunk[i++] as number
      if (headerBytes++ === 0) continue // type and flags
      length += (byte & 0x7f) * 128 ** (headerBytes - 2)
      const more = byte >= 0x80
      if (length > maxBytes || (more && headerBytes === 5)) return false
      if (more) continue
      missing = length
      headerBytes = 0
      length = 0
    }
    return true
  }
}
