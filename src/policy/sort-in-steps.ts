/** Elements that are sorted, or merged, between two yields: a few milliseconds. */
const RUN = 2_048

/** Sorts a copy like `toSorted`, stable, in steps that hold nobody up however long the list is. */
export function* sortInSteps<T>(items: readonly T[], compare: (a: T, b: T) => number): Generator<void, T[]> {
  let from: T[] = []
  for (let start = 0; start < items.length; start += RUN) {
    for (const item of items.slice(start, start + RUN).sort(compare)) from.push(item)
    yield
  }
  for (let width = RUN; width < from.length; width *= 2) {
    const into: T[] = []
    for (let start = 0; start < from.length; start += 2 * width) {
      let [left, right] = [start, Math.min(start + width, from.length)]
      const [middle, end] = [right, Math.min(start + 2 * width, from.length)]
      while (left < middle || right < end) {
        const takesLeft = right >= end || (left < middle && compare(from[left] as T, from[right] as T) <= 0)
        into.push(from[takesLeft ? left++ : right++] as T)
        if (into.length % RUN === 0) yield
      }
    }
    from = into
  }
  return from
}
