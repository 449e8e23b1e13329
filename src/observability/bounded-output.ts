import { fstatSync, writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { DestinationStream } from 'pino'

/** Where log lines go. A reader that stops reading, or has gone, costs lines and never the service. */
export interface BoundedOutput extends DestinationStream {
  /** Lines that nobody will read. */
  readonly dropped: number
  /** Gives what waits a moment to be read. @returns whether all of it was */
  end(): Promise<boolean>
}

/** A descriptor of this process with its stream: `process.stdout` or `process.stderr`. */
type Standard = Writable & { readonly fd: number }

/** Bytes that may wait for a reader. */
const MAX_WAITING = 262_144
/** Milliseconds that lines which wait get when the process ends. */
const GOODBYE_MS = 200

const dropNotice = (count: number) =>
  `${JSON.stringify({ level: 40, time: Date.now(), dropped: count, msg: 'log lines were dropped: nobody read them' })}\n`

/** A pipe or a socket, which Node writes without waiting for its reader, and keeps in memory what does not fit. */
function outputToPipe(stream: Standard): BoundedOutput {
  let dropped = 0
  let untold = 0
  let gone = false
  stream.removeAllListeners('error') // a command ends with its reader, a server does not
  stream.on('error', () => {
    gone = true
  })
  stream.on('drain', () => {
    if (untold === 0) return
    stream.write(dropNotice(untold))
    untold = 0
  })
  return {
    write(line) {
      if (!gone && stream.writableLength <= MAX_WAITING) {
        stream.write(line)
        return
      }
      dropped++
      untold++
    },
    get dropped() {
      return dropped
    },
    async end() {
      if (gone || stream.writableLength === 0) return true
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, GOODBYE_MS, false)
        stream.write('', () => {
          clearTimeout(timer)
          resolve(true)
        })
      })
    },
  }
}

/** A file or a terminal: written at once; a full disk costs the line. Both hold the process while they hold: a dead NFS, ^S. */
function outputToFile({ fd }: Standard): BoundedOutput {
  let dropped = 0
  return {
    write(line) {
      try {
        writeSync(fd, line)
      } catch {
        dropped++
      }
    },
    get dropped() {
      return dropped
    },
    end: async () => true,
  }
}

/** Makes the place of log lines of a standard stream, whatever it is. */
export function createBoundedOutput(stream: Standard): BoundedOutput {
  const kind = fstatSync(stream.fd)
  return kind.isFIFO() || kind.isSocket() ? outputToPipe(stream) : outputToFile(stream)
}
