import { type DestinationStream, pino } from 'pino'
import type { Log } from '../core/log.ts'
import { type BoundedOutput, createBoundedOutput } from './bounded-output.ts'

export interface LogOptions {
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
  format: 'json' | 'pretty'
  destination?: DestinationStream
}

const levelNames: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' }

/** A log, and what became of its lines. */
export interface ServerLog extends Log {
  /** Lines that were not written because nobody read them, or there was no room. */
  readonly dropped: number
  /** @returns whether everything that was said has been read; what has not holds the process. */
  end(): Promise<boolean>
}

/** One readable line per record, for a person at a terminal. */
function prettyDestination(out: DestinationStream): DestinationStream {
  return {
    write(line) {
      const { level, time, msg, ...fields } = JSON.parse(line) as {
        level: number
        time: number
        msg: string
      }
      const rest = Object.entries(fields).map(
        ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      out.write(
        `${new Date(time).toISOString().slice(11, 23)} ${(levelNames[level] ?? '').padEnd(5)} ${[msg, ...rest].join('  ')}\n`,
      )
    },
  }
}

/** Lines of another destination are its own to lose. */
const unbounded = (destination: DestinationStream): BoundedOutput => ({
  write: (line) => destination.write(line),
  dropped: 0,
  end: async () => true,
})

/** Makes the process's logger: JSON lines to stdout, or readable lines to stderr. Redaction is the net, not the rule. */
export function createLog({ level, format, destination }: LogOptions): ServerLog {
  const options = {
    level,
    base: null,
    redact: {
      paths: ['*.password', '*.client_key', '*.authorization', '*["x-api-key"]', 'password', 'authorization'],
      censor: '[secret]',
    },
  }
  const output = destination
    ? unbounded(destination)
    : createBoundedOutput(format === 'pretty' ? process.stderr : process.stdout)
  const logger = pino(options, format === 'pretty' && !destination ? prettyDestination(output) : output)
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    get dropped() {
      return output.dropped
    },
    end: () => output.end(),
  }
}
