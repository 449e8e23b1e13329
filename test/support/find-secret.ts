import pg from 'pg'

/**
 * Every spelling in which a secret may be on record: as it is, hexadecimal (as PostgreSQL shows `bytea`), and in base64 and
 * base64url without the first and last characters, which depend on the place.
 */
function spellingsOf(secret: string | Uint8Array): [name: string, spelling: string][] {
  const bytes = Buffer.from(secret)
  const shifted = (by: number) =>
    Buffer.concat([Buffer.alloc(by), bytes])
      .toString('base64')
      .slice(4, -4)
  const base64 = [0, 1, 2].map((by): [string, string] => [`base64, shifted by ${by}`, shifted(by)])
  return [
    ...(typeof secret === 'string' ? [['plain', secret] as [string, string]] : []),
    ['hexadecimal', bytes.toString('hex')],
    ...base64,
    ...base64.map(([name, text]): [string, string] => [
      name.replace('base64', 'base64url'),
      text.replaceAll('+', '-').replaceAll('/', '_'),
    ]),
  ]
}

/** Says how a text holds a secret, with what stands before it; `undefined` when it does not. */
export function findSecret(text: string, secret: string | Uint8Array): string | undefined {
  for (const [name, spelling] of spellingsOf(secret)) {
    const at = text.indexOf(spelling)
    if (at >= 0) return `${name}: ${text.slice(Math.max(0, at - 200), at + 60)}`
  }
  return undefined
}

/** Every row of every table of a database as text, `bytea` in hexadecimal; `control` is shown as it would be. */
export async function dumpTables(
  connectionString: string,
  control: string,
): Promise<{ tables: number; rows: string[]; audit: string[]; control: string }> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    const dump = async (table: string) =>
      (await client.query<{ text: string }>(`select t::text as text from ${table} t`)).rows.map(({ text }) => text)
    const { rows: tables } = await client.query<{ name: string }>(
      `select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`,
    )
    const rows: string[] = []
    for (const { name } of tables) rows.push(...(await dump(name)))
    await client.query(`create temporary table control as select $1::text as plain, $2::bytea as bytes`, ['x', control])
    const shown = await dump('control')
    const { rows: audit } = await client.query<{ text: string }>(
      `select convert_from(row_bytes, 'UTF8') as text from audit_rows`,
    )
    return { tables: tables.length, rows, audit: audit.map(({ text }) => text), control: shown.join() }
  } finally {
    await client.end()
  }
}
