/**
 * Why a service gave no answer: what was asked is no request (`invalid`), must not be asked (`not-allowed`), nobody answered
 * (`unreachable`, TLS that did not verify included), not in time, with too much, as one more while too many were under way,
 * or whoever asked waits no longer (`aborted`).
 */
export type FailureReason = 'invalid' | 'not-allowed' | 'unreachable' | 'timeout' | 'too-large' | 'busy' | 'aborted'

/** An answer that never came. The message is for operators' logs: it holds no URL, no header and nothing of a body. */
export class RequestFailure extends Error {
  override readonly name = 'RequestFailure'
  readonly reason: FailureReason

  constructor(reason: FailureReason, detail: string, cause?: unknown) {
    super(`${reason}: ${detail}`, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}
