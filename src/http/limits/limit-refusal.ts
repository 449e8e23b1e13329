import { AppError, type AppErrorOptions } from '../../core/errors.ts'

export interface LimitRefusalOptions extends AppErrorOptions {
  /** Headers of the answer beside `Retry-After`. */
  headers?: Readonly<Record<string, string>>
  /** The first one of its window: said under an envelope where the caller has a recipient of its own. */
  isFirst?: boolean
}

/**
 * A request that a limit refused: nothing of it was done. Counted in a summary, one audit row for a key and a minute, and
 * answered bare but for the first one of a window: sealing every refusal of a flood would cost more than serving it.
 */
export class LimitRefusal extends AppError {
  readonly headers: Readonly<Record<string, string>>
  readonly isFirst: boolean

  constructor(code: 'rate.limited' | 'server.busy', message: string, options: LimitRefusalOptions = {}) {
    super(code, message, options)
    this.headers = options.headers ?? {}
    this.isFirst = options.isFirst ?? false
  }
}
