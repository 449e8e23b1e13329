import assert from 'node:assert/strict'
import { type CallClock, systemCallClock } from '#src/sdk/call-clock.ts'
import { SealwireError } from '#src/sdk/sealwire-error.ts'

/** A clock that notes how long a client would have waited between attempts, and waits for nothing. */
export function impatientClock(waitsMs: number[] = []): CallClock {
  return {
    ...systemCallClock,
    wait: async (ms, signal) => {
      signal.throwIfAborted()
      waitsMs.push(ms)
    },
  }
}

/** Runs a call that has to fail, and returns its error. */
export async function failureOf(work: Promise<unknown>): Promise<SealwireError> {
  try {
    await work
  } catch (err) {
    assert.ok(err instanceof SealwireError, String(err))
    return err
  }
  return assert.fail('the call did not fail')
}
