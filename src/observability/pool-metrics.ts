import { Counter, Gauge, type Registry } from 'prom-client'

/** What the pool of broker connections counts. */
export interface PoolCounts {
  readonly connections: number
  readonly connecting: number
  readonly draining: number
  readonly inFlight: number
  /** Since the start, as all below: logins, and acknowledgements that came after their caller was answered. */
  readonly connects: number
  readonly lateAcknowledgements: number
  /** Times that a broker was dialled, and those that it was not because of earlier failures. */
  readonly attempts: number
  readonly refused: number
  /** Sessions that another client took over, and how often that stopped an integration from connecting. */
  readonly takenOver: number
  readonly stopped: number
}

const gauges: readonly [name: string, help: string, of: (counts: PoolCounts) => number][] = [
  ['connections', 'Connections to brokers that have logged in.', ({ connections }) => connections],
  ['connecting', 'Connections that are being made, or wait for their turn.', ({ connecting }) => connecting],
  ['draining', 'Connections that finish what is on its way and then end.', ({ draining }) => draining],
  ['in_flight', 'Messages that no broker has settled yet.', ({ inFlight }) => inFlight],
]

const counters: readonly [name: string, help: string, of: (counts: PoolCounts) => number][] = [
  ['attempts_total', 'Times that a broker was dialled.', ({ attempts }) => attempts],
  ['connects_total', 'Logins at brokers.', ({ connects }) => connects],
  [
    'late_acknowledgements_total',
    'Acknowledgements that came after their caller was answered.',
    ({ lateAcknowledgements }) => lateAcknowledgements,
  ],
  [
    'refused_total',
    'Refusals without asking the broker: a breaker was open, or the credential had been refused.',
    ({ refused }) => refused,
  ],
  ['sessions_taken_over_total', 'Sessions that another client took over.', ({ takenOver }) => takenOver],
  [
    'stopped_total',
    'Times that an integration stopped connecting, because its session was taken over again and again: look at the log.',
    ({ stopped }) => stopped,
  ],
]

/** Registers what the pool counts, asked when the metrics are read. */
export function registerPoolMetrics(registry: Registry, counts: () => PoolCounts): void {
  const registers = [registry]
  for (const [name, help, of] of gauges) {
    const collect = function (this: Gauge) {
      this.set(of(counts()))
    }
    new Gauge({ name: `sealwire_pool_${name}`, help, registers, collect })
  }
  for (const [name, help, of] of counters) {
    const collect = function (this: Counter) {
      this.reset()
      this.inc(of(counts()))
    }
    new Counter({ name: `sealwire_pool_${name}`, help, registers, collect })
  }
}
