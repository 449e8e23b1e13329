/** Rows as `pg` returns them: `bytea` is a Buffer, `timestamptz` a Date, `bigint` a string. */
export interface Result<Row> {
  rows: Row[]
  rowCount: number | null
}

export interface QueryOptions {
  /** A name under which each connection parses and plans the statement once; one name, one text. */
  prepareAs?: string
  /** In place of the 2 s: for what an operator waits for. */
  timeoutMs?: number
}

/** What a store needs: parameters only, never text put together from input. */
export interface Queryable {
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
    options?: QueryOptions,
  ): Promise<Result<Row>>
}

/**
 * PostgreSQL. A failure of the connection, a time-out (2 s a statement) or a server that is not there is
 * `database.unavailable`; a violated constraint keeps its SQLSTATE (see {@link isUniqueViolation}).
 */
export interface Db extends Queryable {
  /** Runs `work` in one transaction on one connection; rolls back when it throws. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** One page of a list, newest first; ids are ordered by time. */
export interface Page {
  limit: number
  /** Id of the last item of the page before. */
  after?: string | undefined
}

/** The first page of a list that nobody pages through. */
export const firstPage: Page = { limit: 1000 }

/** SQLSTATE 23505; `constraint` narrows it to one. */
export function isUniqueViolation(err: unknown, constraint?: string): boolean {
  const { code, constraint: violated } = (err ?? {}) as { code?: unknown; constraint?: unknown }
  return code === '23505' && (constraint === undefined || violated === constraint)
}
