import { argon2, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { verify as verifyBcrypt } from '@node-rs/bcrypt'

/** A stored password hash whose form and cost were judged: nothing in it makes a verifier answer early. */
export interface PasswordHash {
  /** As it stands in the file. */
  readonly text: string
  /** What decides how long verifying takes: `bcrypt 10`, `argon2id m=19456,t=2,p=1`. */
  readonly kind: string
}

/** What may be hashed at all. Longer ones are wrong everywhere, without hashing, whoever the user is. */
export const MAX_PASSWORD_BYTES = 1024

/** bcrypt looks at no more, so that everything with the same beginning would be the same password. */
export const BCRYPT_PASSWORD_BYTES = 72

/** Bounds of a cost: below, a leaked file is read in no time; above, one client holds up the others. */
const BCRYPT_COST = { min: 4, max: 14 }
const ARGON2_MEMORY_KIB = { min: 8, max: 262_144 }
const ARGON2_PASSES = { min: 1, max: 16 }
const ARGON2_LANES = { min: 1, max: 16 }

/** For new hashes: OWASP's first recommendation for argon2id. */
const USUAL = { memory: 19_456, passes: 2, parallelism: 1 }
const USUAL_KIND = `argon2id m=${USUAL.memory},t=${USUAL.passes},p=${USUAL.parallelism}`
const SALT_BYTES = 16
const TAG_BYTES = 32

const deriveArgon2 = promisify(argon2)

/**
 * The last characters of salt and digest carry two and four bits: the verifier takes another spelling for no hash at all, and
 * says no without any work.
 */
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/
const ARGON2 = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

interface Argon2 {
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
  readonly tag: Buffer
}

const isWithin = (value: number, { min, max }: { min: number; max: number }) => value >= min && value <= max

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll('=', '')
}

function readArgon2(text: string): Argon2 | undefined {
  const [, memory, passes, parallelism, salt64 = '', tag64 = ''] = ARGON2.exec(text) ?? []
  const salt = Buffer.from(salt64, 'base64')
  const tag = Buffer.from(tag64, 'base64')
  if (memory === undefined || unpadded(salt) !== salt64 || unpadded(tag) !== tag64) return undefined
  return { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism), salt, tag }
}

/** Reads a hash as it stands in a file; what is wrong with it otherwise, without quoting it. */
export function parsePasswordHash(text: string): PasswordHash | { readonly problem: string } {
  const cost = BCRYPT.exec(text)?.[1]
  if (cost !== undefined) {
    if (isWithin(Number(cost), BCRYPT_COST)) return { text, kind: `bcrypt ${Number(cost)}` }
    return { problem: `must be bcrypt of cost ${BCRYPT_COST.min} to ${BCRYPT_COST.max}` }
  }
  const read = readArgon2(text)
  if (!read) return { problem: 'must be bcrypt ($2a$, $2b$ or $2y$, 60 characters) or argon2id ($argon2id$v=19$…)' }
  const { memory, passes, parallelism, salt, tag } = read
  const isBounded =
    isWithin(memory, ARGON2_MEMORY_KIB) && isWithin(passes, ARGON2_PASSES) && isWithin(parallelism, ARGON2_LANES)
  if (!isBounded || memory < 8 * parallelism) {
    const { max } = ARGON2_MEMORY_KIB
    return {
      problem: `must be argon2id with m from 8·p to ${max}, t to ${ARGON2_PASSES.max}, p to ${ARGON2_LANES.max}`,
    }
  }
  if (salt.length < 8 || tag.length < 16)
    return { problem: 'must be argon2id with a salt of 8 bytes and a hash of 16, or more' }
  return { text, kind: `argon2id m=${memory},t=${passes},p=${parallelism}` }
}

/** Whether a hash is cheaper to guess from than what `hashPassword` makes: bcrypt below 10, argon2id below 19 MiB × 2. */
export function isWeak({ kind }: PasswordHash): boolean {
  const [, bcrypt] = /^bcrypt (\d+)$/.exec(kind) ?? []
  if (bcrypt !== undefined) return Number(bcrypt) < 10
  const [, memory, passes] = /m=(\d+),t=(\d+)/.exec(kind) ?? []
  return Number(memory) * Number(passes) < USUAL.memory * USUAL.passes
}

/**
 * Verifies a password of at most `MAX_PASSWORD_BYTES`, off the event loop. Takes as long for a wrong one as for the right one:
 * for bcrypt a password of over 72 bytes, or with a NUL, where implementations disagree, is hashed as well and then wrong.
 */
export async function verifyPassword({ text }: PasswordHash, password: Uint8Array): Promise<boolean> {
  const read = readArgon2(text)
  if (!read) {
    const isSound = password.length <= BCRYPT_PASSWORD_BYTES && !password.includes(0)
    return (await verifyBcrypt(password, text)) && isSound
  }
  const { salt: nonce, tag, memory, passes, parallelism } = read
  const message = password
  const derived = await deriveArgon2('argon2id', { message, nonce, parallelism, tagLength: tag.length, memory, passes })
  return timingSafeEqual(derived, tag)
}

function argon2Text({ memory, passes, parallelism }: typeof USUAL, salt: Uint8Array, tag: Uint8Array): string {
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(tag)}`
}

/** Hashes a new password with argon2id (RFC 9106) under a random salt; a PHC string. */
export async function hashPassword(password: Uint8Array): Promise<string> {
  const nonce = randomBytes(SALT_BYTES)
  const tag = await deriveArgon2('argon2id', { message: password, nonce, tagLength: TAG_BYTES, ...USUAL })
  return argon2Text(USUAL, nonce, tag)
}

const BCRYPT_ALPHABET = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Bytes as text in bcrypt's base64, one character each, whose last one leaves the given bits unset. */
function bcryptText(bytes: Uint8Array, unusedBits: number): string {
  const bits = [...bytes].map((byte) => byte & 63)
  const last = bits.length - 1
  bits[last] = ((bits[last] ?? 0) >> unusedBits) << unusedBits
  return bits.map((index) => BCRYPT_ALPHABET[index]).join('')
}

/** A hash of nobody's password that takes as long to verify as those of its kind; the same for a key and a kind. */
export function createDummyHash(kind: string, key: Uint8Array): PasswordHash {
  const noise = createHmac('sha512', key).update(kind).digest() // 64 bytes
  const [, cost] = /^bcrypt (\d+)$/.exec(kind) ?? []
  if (cost !== undefined) {
    const [salt, digest] = [bcryptText(noise.subarray(0, 22), 4), bcryptText(noise.subarray(22, 53), 2)]
    return { kind, text: `$2b$${cost.padStart(2, '0')}$${salt}${digest}` }
  }
  const [, memory, passes, parallelism] = /^argon2id m=(\d+),t=(\d+),p=(\d+)$/.exec(kind) ?? []
  const costs = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) }
  const [salt, tag] = [noise.subarray(0, SALT_BYTES), noise.subarray(SALT_BYTES, SALT_BYTES + TAG_BYTES)]
  return { kind, text: argon2Text(costs, salt, tag) }
}

/**
 * Chooses what unknown users are verified against: each kind of hash as often as it is among the known users, and each name the
 * same dummy also after the file has changed, as a known user has the same hash; else what is remembered of it would be lost, and
 * the hash that it costs anew would tell that nobody has the name. Only where the shares of kinds move do a few names move along.
 * In a file of one kind an unknown user cannot be told from a known one by time; in a mixed one, a kind that few users have is as
 * rare among unknown names, so that meeting it says something.
 *
 * @param key 32 random bytes, the same for every state of the file
 */
export function createDummies(kinds: ReadonlyMap<string, number>, key: Uint8Array): (username: string) => PasswordHash {
  const dummies = [...kinds]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, users]) => ({ hash: createDummyHash(kind, key), users }))
  const [first = { hash: createDummyHash(USUAL_KIND, key), users: 1 }, ...rest] = dummies
  if (rest.length === 0) return () => first.hash
  const total = dummies.reduce((sum, { users }) => sum + users, 0)
  return (username) => {
    let at = (createHmac('sha256', key).update(username).digest().readUInt32BE() / 2 ** 32) * total
    for (const { hash, users } of dummies) {
      if (at < users) return hash
      at -= users
    }
    return first.hash
  }
}
