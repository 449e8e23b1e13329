const PUBLISH = 3
/** Packets without a body in one chunk. One of them is due for each PINGREQ, and mqtt.js takes a queue of them apart slowly. */
const MAX_EMPTY_PACKETS = 64

/** What comes next of the start of a packet that is followed. */
type Stage = 'topic length, high' | 'topic length, low' | 'properties length' | 'the rest'

export interface PacketBounds {
  /** Of a whole packet, without its header. */
  readonly maxBytes: number
  /** MQTT 5: of the properties of a PUBLISH, and of any other packet, which is little else. */
  readonly maxPropertiesBytes?: number
}

/** A number of at most four bytes, seven bits each, the lowest first (OASIS MQTT 5.0 §1.5.5). */
function createVariableNumber() {
  let [value, bytes] = [0, 0]
  return {
    reset() {
      value = 0
      bytes = 0
    },
    /** Takes one byte; the number once it is complete, `undefined` before, `null` when it can be none or exceeds `max`. */
    take(byte: number, max: number): number | undefined | null {
      value += (byte & 0x7f) * 128 ** bytes++
      if (value > max || (byte >= 0x80 && bytes === 4)) return null
      return byte >= 0x80 ? undefined : value
    },
  }
}

/**
 * Follows the framing of incoming MQTT packets, so that a packet is refused by its announced length and not after it
 * was collected in memory, and its properties before they are taken apart. The function says `false` from the first packet
 * that is longer than its bound, or whose length is malformed, and from the 65th in one chunk that has no body.
 *
 * @see OASIS MQTT 5.0 §2.1.4 (remaining length: at most four bytes), §3.3 (topic, packet identifier, properties)
 */
export function createPacketGuard({ maxBytes, maxPropertiesBytes }: PacketBounds): (chunk: Uint8Array) => boolean {
  /** Bytes of the current packet that are still to come; 0 while its header is read. */
  let missing = 0
  /** Of them, those to pass over before the stage goes on. */
  let passing = 0
  let stage: Stage = 'the rest'
  let firstByte: number | undefined
  let topicBytes = 0
  let empty = 0
  const length = createVariableNumber()

  /** Takes a byte of the header; `false` when the packet is refused. */
  function header(byte: number): boolean {
    if (firstByte === undefined) {
      firstByte = byte
      length.reset()
      return true
    }
    const isPublish = firstByte >> 4 === PUBLISH
    const max = maxPropertiesBytes === undefined || isPublish ? maxBytes : Math.min(maxBytes, maxPropertiesBytes)
    const announced = length.take(byte, max)
    if (announced === undefined) return true
    if (announced === null) return false
    missing = announced
    passing = 0
    stage = isPublish && maxPropertiesBytes !== undefined ? 'topic length, high' : 'the rest'
    if (missing > 0) return true
    firstByte = undefined
    return ++empty <= MAX_EMPTY_PACKETS
  }

  /** Takes a byte of the start of a PUBLISH; `false` when the packet is refused. */
  function start(byte: number): boolean {
    if (stage === 'topic length, high') {
      topicBytes = byte * 256
      stage = 'topic length, low'
    } else if (stage === 'topic length, low') {
      const identified = ((firstByte ?? 0) & 0x06) !== 0 // QoS 1 and 2 have a packet identifier
      passing = topicBytes + byte + (identified ? 2 : 0)
      length.reset()
      stage = 'properties length'
    } else {
      const announced = length.take(byte, maxPropertiesBytes ?? maxBytes)
      if (announced === null) return false
      if (announced !== undefined) stage = 'the rest'
    }
    return true
  }

  return (chunk) => {
    let i = 0
    empty = 0
    while (i < chunk.length) {
      if (missing === 0) {
        if (!header(chunk[i++] as number)) return false
        continue
      }
      const whole = stage === 'the rest' ? missing : Math.min(passing, missing)
      const step = Math.min(Math.max(whole, 1), chunk.length - i)
      if (whole === 0 && !start(chunk[i] as number)) return false
      if (stage !== 'the rest' && whole > 0) passing -= step
      missing -= step
      i += step
      if (missing === 0) firstByte = undefined
    }
    return true
  }
}
