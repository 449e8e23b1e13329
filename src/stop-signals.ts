export interface StopSignals {
  /** Resolves with the first signal; whatever follows changes nothing but {@link hurry}. */
  readonly first: Promise<'SIGTERM' | 'SIGINT'>
  /** Resolves when somebody types ^C once more. */
  readonly hurry: Promise<void>
}

/** Milliseconds in which signals are one wish: a terminal sends ^C to every process, and npm passes its own on as well. */
const SAME_WISH_MS = 500

/** Takes SIGTERM and SIGINT from here on: none of them ends the process any more, however many come. */
export function listenForStop(monotonic: () => number = () => performance.now()): StopSignals {
  const first = Promise.withResolvers<'SIGTERM' | 'SIGINT'>()
  const hurry = Promise.withResolvers<void>()
  let sinceMs: number | undefined
  function receive(signal: 'SIGTERM' | 'SIGINT'): void {
    sinceMs ??= monotonic()
    first.resolve(signal)
    if (signal === 'SIGINT' && monotonic() - sinceMs > SAME_WISH_MS) hurry.resolve()
  }
  process.on('SIGTERM', () => receive('SIGTERM'))
  process.on('SIGINT', () => receive('SIGINT'))
  return { first: first.promise, hurry: hurry.promise }
}
