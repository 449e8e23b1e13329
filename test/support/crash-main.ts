// A server as `src/main.ts` starts it, with variables of its own: `CRASH_AT=published:2` kills it when a publish reaches
// that step for the second time; with `CRASH_SIGNAL=SIGSTOP` it is paused there instead.
import { flushCompileCache } from 'node:module'
import { startServer } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { type CrashPoint, crashPoints } from '#src/core/crash-points.ts'
import { createLog } from '#src/observability/log.ts'

const { CRASH_AT, CRASH_SIGNAL = 'SIGKILL', ...env } = process.env

/** Nothing of this process runs after it, or until it is continued. */
const die = () => process.kill(process.pid, CRASH_SIGNAL)

function crashAt(text: string): (step: CrashPoint) => void {
  const [step, nth] = text.split(':')
  if (!crashPoints.some((point) => point === step) || !(Number(nth) > 0)) throw new Error(`CRASH_AT: ${text}`)
  let left = Number(nth)
  return (reached) => {
    if (reached !== step || --left > 0) return
    if (step === 'published')
      setImmediate(die) // mqtt.js corks its stream: the bytes leave before this, no answer is read
    else die()
  }
}

await startServer(parseConfig(env), {
  log: createLog({ level: 'info', format: 'json' }),
  ...(CRASH_AT !== undefined && { reached: crashAt(CRASH_AT) }),
})
if (CRASH_AT === undefined) flushCompileCache() // for those after it, which are killed before they could
