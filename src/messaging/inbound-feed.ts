import type { Duplex, Writable } from 'node:stream'

/** mqtt.js takes the packets of one write apart in one turn of the event loop: so many bytes of small ones are about 25 ms. */
const PIECE_BYTES = 8_192

/**
 * Takes the place of `stream.pipe`, by which mqtt.js reads, so that a broker with much to say does not keep everybody else
 * waiting: its bytes are passed on in pieces, one in each turn of the event loop. `take` sees every chunk first; one for which
 * it says `false`, and everything after it, is not passed on.
 */
export function feedInPieces(stream: Duplex, take: (chunk: Uint8Array) => boolean): void {
  let refused = false

  /** Nothing is read meanwhile. */
  function passInTurns(chunk: Uint8Array, sink: Writable): void {
    stream.pause()
    let passed = 0
    const next = () => {
      if (stream.destroyed) return
      const piece = chunk.subarray(passed, passed + PIECE_BYTES)
      passed += piece.length
      sink.write(piece, (err) => {
        if (err) return // of an end
        if (passed < chunk.length) setImmediate(next)
        else stream.resume()
      })
    }
    next()
  }

  stream.pipe = <T extends NodeJS.WritableStream>(destination: T): T => {
    const sink = destination as unknown as Writable
    stream.on('data', (chunk: Uint8Array) => {
      refused ||= !take(chunk)
      if (refused) return
      if (chunk.length <= PIECE_BYTES) sink.write(chunk)
      else passInTurns(chunk, sink)
    })
    return destination
  }
}
