import assert from 'node:assert/strict'

/** Counts what random cases came to, so that a property that never met its subject does not pass for proven. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(name: string, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times)
  }

  /** Fails with all that came up too rarely. */
  assertReached(wanted: Readonly<Record<string, number>>): void {
    const short = Object.entries(wanted).flatMap(([name, atLeast]) => {
      const count = this.counts.get(name) ?? 0
      return count < atLeast ? [`${name}: ${count}, wanted ${atLeast}`] : []
    })
    assert.deepEqual(short, [], 'the random cases hardly ever came to this')
  }

  toString(): string {
    return [...this.counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  }
}
