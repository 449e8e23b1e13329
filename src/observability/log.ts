import { Writable } from 'node:stream'
import { type DestinationStream, pino } from 'pino'
import type { Log } from '../core/log.ts'

export interface LogOptions {
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
  format: 'json' | 'pretty'
  destination?: DestinationStream
}

const levelNames: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' }

/** One readable line per record, for a person at a terminal. */
function prettyDestination(out: NodeJS.WritableStream): DestinationStream {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      const { level, time, msg, ...fields } = JSON.parse(chunk.toString()) as {
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
      done()
    },
  })
}

/** Makes the process's logger: JSON lines, or readable lines on a terminal. Redaction is the net, not the rule. */
export function createLog({ level, format, destination }: LogOptions): Log {
  const options = {
    level,
    base: null,
    redact: {
      paths: ['*.password', '*.client_key', '*.authorization', '*["x-api-key"]', 'password', 'authorization'],
      censor: '[secret]',
    },
  }
  const target = destination ?? (format === 'pretty' ? prettyDestination(process.stderr) : undefined)
  return target ? pino(options, target) : pino(options)
}
