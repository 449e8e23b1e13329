/** What a capability may say to the operator: an allow-listed object and one sentence. Never payloads, secrets or keys. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Lines that were not written, where somebody counts them. */
  readonly dropped?: number
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
