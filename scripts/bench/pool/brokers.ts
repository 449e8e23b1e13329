// The brokers of the pool benchmark, in a process of their own: `brokers.ts COUNT`. Its parent asks over IPC.
import { mostInASecond, startBrokerFarm } from '#test/support/broker-farm.ts'

/** What the parent may ask. */
export type Question = 'down' | 'up' | 'figures'

export interface Figures {
  readonly port: number
  readonly sessions: number
  readonly acknowledged: number
  readonly logins: number
  readonly distinctClientIds: number
  /** Connections that arrived since the brokers were cut last. */
  readonly arrivals: number
  readonly mostArrivalsInASecond: number
  /** Of those, by second. */
  readonly arrivalsBySecond: readonly number[]
}

const farm = await startBrokerFarm(Number(process.argv[2]))

function figures(): Figures {
  const { port, sessions, acknowledged, clientIds, arrivals } = farm
  const arrivalsBySecond: number[] = []
  for (const at of arrivals) {
    const second = Math.floor((at - cutAtMs) / 1000)
    arrivalsBySecond[second] = (arrivalsBySecond[second] ?? 0) + 1
  }
  return {
    port,
    sessions,
    acknowledged,
    logins: clientIds.length,
    distinctClientIds: new Set(clientIds).size,
    arrivals: arrivals.length,
    mostArrivalsInASecond: mostInASecond(arrivals),
    arrivalsBySecond: Array.from(arrivalsBySecond, (count) => count ?? 0),
  }
}

let cutAtMs = performance.now()
process.on('message', (question: Question) => {
  if (question === 'down') {
    farm.arrivals.length = 0
    cutAtMs = performance.now()
    farm.down()
  } else if (question === 'up') farm.up()
  process.send?.(figures())
})
process.on('disconnect', () => process.exit(0))
process.send?.(figures())
