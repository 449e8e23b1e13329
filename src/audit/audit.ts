export type AuditOutcome = 'success' | 'failure' | 'denied' | 'unknown'

/** Who did it: an API key, `system` for this process, `operator` for somebody at the host. */
export interface AuditActor {
  id: string
  address?: string
  userAgent?: string
}

/** One fact. `detail` holds the members its action allows; never a payload, a secret, or more than 256 characters of a caller's text. */
export interface AuditEvent {
  tenantId: string
  /** `<capability>.<fact>`, such as `proxy.publish.intent`. */
  action: string
  outcome: AuditOutcome
  actor: AuditActor
  object?: { kind: string; id: string }
  requestId?: string
  messageId?: string
  detail?: Readonly<Record<string, string | number | boolean | null>>
}

export interface Audit {
  /**
   * Resolves when the rows are committed, in the order given. Nothing may leave for a broker, and no success may be
   * answered, before that.
   *
   * @throws {AppError} `audit.unavailable` when they could not be committed
   */
  record(...events: readonly AuditEvent[]): Promise<void>
}

/** On whose behalf a use case runs; the first argument of every one. */
export interface Caller {
  tenantId: string
  actor: AuditActor
  requestId: string
}
