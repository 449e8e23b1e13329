import { integer, must, objectWith, text } from './decode.ts'
import { suites } from './kem.ts'

/** Section 3 of the page: its members, in their order. */
export interface Header {
  readonly suite: string
  readonly tid: string
  readonly kem: string
  readonly sig: string
  readonly mac: string
  readonly aud: string
  readonly op: string
  readonly sub: string | null
  readonly rqh: string | null
  readonly seq: number | null
  readonly iat: number
  readonly exp: number | null
}

const ORDER = 'v suite tid kem sig mac aud op sub rid rqh st seq iat exp'
const MOST = 2 ** 53 - 1

/** `v`: a value, `-`: null, `?`: either; for sub, rqh, st, seq, and the longest life in seconds. */
const kinds: Readonly<Record<string, readonly [string, number]>> = {
  'stream.event': ['v?-v', 300],
  'webhook.delivery': ['v---', 300],
  'stored.message': ['v--v', 7_776_000],
  'stored.object': ['----', 0],
}
const ANSWER = ['??v-', 300] as const

export const isNamedKind = (op: string): boolean => Object.hasOwn(kinds, op)

function id(value: unknown): string {
  must(/^[A-Za-z0-9._-]{1,64}$/.test(text(value)))
  return value as string
}

function presence(value: unknown, rule: string | undefined, check: (value: unknown) => unknown): void {
  if (value === null) must(rule !== 'v')
  else {
    must(rule !== '-')
    check(value)
  }
}

export function readHeader(bytes: Buffer): Header {
  must(bytes.length <= 800)
  let json = ''
  let parsed: unknown
  try {
    json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    parsed = JSON.parse(json)
  } catch {
    must(false)
  }
  const header = objectWith(parsed, ORDER)
  must(header['v'] === 2 && Object.hasOwn(suites, text(header['suite'])))
  for (const name of ['tid', 'kem', 'sig', 'mac', 'aud', 'op', 'rid']) id(header[name])
  const op = header['op'] as string
  const [rules, life] = isNamedKind(op) ? (kinds[op] ?? ANSWER) : ANSWER
  presence(header['sub'], rules[0], id)
  presence(header['rqh'], rules[1], (value) => must(/^[A-Za-z0-9_-]{64}$/.test(text(value))))
  presence(header['st'], rules[2], (value) => integer(value, 100, 599))
  presence(header['seq'], rules[3], (value) => integer(value, 1, MOST))
  const iat = integer(header['iat'], 1, MOST)
  if (life === 0) must(header['exp'] === null)
  else must(integer(header['exp'], 1, MOST) - iat >= 1 && (header['exp'] as number) - iat <= life)
  must(JSON.stringify(Object.fromEntries(ORDER.split(' ').map((name) => [name, header[name]]))) === json)
  return header as unknown as Header
}
