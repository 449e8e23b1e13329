import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type PoolCounts, registerPoolMetrics } from './pool-metrics.ts'

export interface HookCount {
  readonly hook: string
  readonly question: string
  readonly outcome: string
  /** Since the start. */
  readonly count: number
}

/** What Prometheus reads. Labels never hold an id, a topic or anything else that a caller chooses. */
export interface Metrics {
  /** Counts one signature, and what it cost, in milliseconds. */
  signed(batch: { envelopes: number; waitMs: number; signMs: number }): void
  /** Places of the signing queue that are taken, asked when the metrics are read. */
  watchSigningQueue(taken: () => number): void
  /** Counts a request that was refused for being one too many: beyond a quota, or for want of a place. */
  limited(why: 'quota' | 'place'): void
  /** Requests that hold a place, asked when the metrics are read. */
  watchRequests(underWay: () => number): void
  /** Connections to brokers and what became of them, asked when the metrics are read. */
  watchPool(counts: () => PoolCounts): void
  /** What brokers were told, asked when the metrics are read. Hooks are named by the operator. */
  watchHooks(counts: () => readonly HookCount[]): void
  /** Log lines that nobody read, asked when the metrics are read. */
  watchDroppedLogLines(dropped: () => number): void
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
}

const POWERS_OF_TWO = Array.from({ length: 11 }, (_, i) => 2 ** i)
const SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]

/** Creates the metrics of this process, those of Node itself included (memory, processor time, event-loop delay). */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const signatures = new Counter({
    name: 'sealwire_signatures_total',
    help: 'ML-DSA signatures made; each covers one batch of envelopes.',
    registers,
  })
  const batches = new Histogram({
    name: 'sealwire_signing_batch_envelopes',
    help: 'Envelopes under one signature; the sum counts all envelopes.',
    buckets: POWERS_OF_TWO,
    registers,
  })
  const waits = new Histogram({
    name: 'sealwire_signing_wait_seconds',
    help: 'How long the first envelope of a batch waited for the signer.',
    buckets: SECONDS,
    registers,
  })
  const signing = new Histogram({
    name: 'sealwire_signing_seconds',
    help: 'Hashing the tree, signing its root and verifying the signature.',
    buckets: SECONDS,
    registers,
  })
  const overQuota = new Counter({
    name: 'sealwire_requests_over_quota_total',
    help: 'Requests refused with 429 because their API key or tenant had used up its cost units.',
    registers,
  })
  const shed = new Counter({
    name: 'sealwire_requests_shed_total',
    help: 'Requests refused with 503 because the server, or the share of their tenant, was full.',
    registers,
  })
  return {
    limited: (why) => (why === 'quota' ? overQuota : shed).inc(),
    watchRequests(underWay) {
      new Gauge({
        name: 'sealwire_requests_under_way',
        help: 'Requests behind authentication that hold a place.',
        registers,
        collect() {
          this.set(underWay())
        },
      })
    },
    signed({ envelopes, waitMs, signMs }) {
      signatures.inc()
      batches.observe(envelopes)
      waits.observe(waitMs / 1000)
      signing.observe(signMs / 1000)
    },
    watchSigningQueue(taken) {
      new Gauge({
        name: 'sealwire_signing_queue_places',
        help: 'Places taken: answers that are reserved, wait for a signature, or are being signed.',
        registers,
        collect() {
          this.set(taken())
        },
      })
    },
    watchPool: (counts) => registerPoolMetrics(registry, counts),
    watchHooks(counts) {
      new Counter({
        name: 'sealwire_hook_answers_total',
        help: 'Answers to brokers, by hook, kind of question and outcome.',
        labelNames: ['hook', 'question', 'outcome'],
        registers,
        collect() {
          this.reset()
          for (const { count, ...labels } of counts()) this.inc(labels, count)
        },
      })
    },
    watchDroppedLogLines(dropped) {
      new Gauge({
        name: 'sealwire_log_lines_dropped',
        help: 'Log lines since the start that were not written: nobody read them, or there was no room.',
        registers,
        collect() {
          this.set(dropped())
        },
      })
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
