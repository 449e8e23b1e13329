// The server as it runs, but for what `BENCH_AUDIT=off` leaves out: the benchmark measures what recording costs. No setting
// of the product does that.

import { startServer } from '#src/app.ts'
import { createAuditLog } from '#src/audit/audit-log.ts'
import { parseConfig } from '#src/config/config.ts'
import { createLog } from '#src/observability/log.ts'

const config = parseConfig(process.env)
const log = createLog({ level: config.LOG_LEVEL, format: 'json' })
const recordsNothing: typeof createAuditLog = (deps) => {
  const real = createAuditLog(deps)
  return {
    record: (...events) =>
      events.some(({ action }) => action.startsWith('proxy.')) ? Promise.resolve() : real.record(...events),
    close: () => real.close(),
  }
}
const running = await startServer(config, {
  log,
  ...(process.env['BENCH_AUDIT'] === 'off' && { createAudit: recordsNothing }),
})
process.once('SIGTERM', () => void running.close())
