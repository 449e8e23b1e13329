/** The end of the time of one question; who waits for something slow listens to its signal. */
export class Deadline {
  isLate = false
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  pass(): void {
    this.isLate = true
    this.#controller?.abort()
  }
}
