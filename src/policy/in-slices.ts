/** Milliseconds of work between two turns of the event loop. */
const SLICE_MS = 8

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0)
  })
}

async function run<T>(steps: Generator<void, T>): Promise<T> {
  let untilMs = performance.now() + SLICE_MS
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
    if (performance.now() < untilMs) continue
    await nextTurn()
    untilMs = performance.now() + SLICE_MS
  }
}

let last: Promise<unknown> = Promise.resolve()

/**
 * Runs a generator to its end, and gives the event loop a turn whenever a slice of time is used up. One at a time: slices of
 * several would follow each other without a turn between them.
 */
export function inSlices<T>(steps: Generator<void, T>): Promise<T> {
  const mine = last.then(() => run(steps))
  last = mine.catch(() => undefined) // whoever asked is told; the next one starts all the same
  return mine
}
