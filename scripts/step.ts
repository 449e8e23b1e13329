/** Runs one piece of work under a title, and shows on stderr that it goes on and how long it took. */
export async function runStep<T>(title: string, work: () => Promise<T>): Promise<T> {
  const out = process.stderr
  const startedMs = performance.now()
  const elapsed = () => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
  out.write(`${title} …`)
  const timer = setInterval(
    () => out.write(out.isTTY ? `\r${title} … ${elapsed()}` : ` ${elapsed()}`),
    out.isTTY ? 500 : 5000,
  )
  const finish = (word: string) => {
    clearInterval(timer)
    out.write(out.isTTY ? `\r\u001b[K${title}: ${word} (${elapsed()})\n` : ` ${word} (${elapsed()})\n`)
  }
  try {
    const result = await work()
    finish('done')
    return result
  } catch (err) {
    finish('failed')
    throw err
  }
}
