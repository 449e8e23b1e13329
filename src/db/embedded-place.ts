import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs'
import path from 'node:path'

/** Where an own PostgreSQL lives and as whom it runs; it refuses to run as root. */
export interface Place {
  /** Holds `postgres/` (the data) and `native/` (the binaries). */
  folder: string
  /** Put before every command. */
  prefix: readonly string[]
  /** The account that commands run as, when it is not ours. */
  account?: { uid: number; gid: number }
}

/** Runs a command as 65534 in a user namespace of its own: to the file system it is still root, to itself it is nobody. */
const NAMESPACE = ['unshare', '-U', '--map-user=65534', '--map-group=65534'] as const

const STATE_FOLDER = '/var/lib/sealwire'

/** Whether a command in a user namespace can be started, and can write to `folder` (root's privileges end at its border). */
function namespaceReaches(folder: string): boolean {
  try {
    execFileSync(NAMESPACE[0], [...NAMESPACE.slice(1), 'test', '-w', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false // not installed, not permitted here, or the folder is out of reach
  }
}

function systemAccount(): { uid: number; gid: number } {
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const wanted of ['sealwire', 'postgres', 'nobody']) {
    const found = accounts.find(([name]) => name === wanted)
    if (found) return { uid: Number(found[2]), gid: Number(found[3]) }
  }
  throw new Error('PostgreSQL refuses to run as root, and there is no account sealwire, postgres or nobody.')
}

function accountFolder(dataDir: string, stateFolder: string): string {
  const name = createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 16)
  return path.join(stateFolder, name)
}

/** Runs as the account that made the data, or that will. */
function accountPlace(folder: string): Place {
  const data = path.join(folder, 'postgres')
  const account = existsSync(data) ? { uid: statSync(data).uid, gid: statSync(data).gid } : systemAccount()
  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o755 })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chownSync(folder, account.uid, account.gid)
  return { folder, prefix: [], account }
}

export interface PlaceOptions {
  isRoot?: boolean
  stateFolder?: string
  namespaceReaches?: (folder: string) => boolean
}

/**
 * Decides where the data of `dataDir` is and who runs it. Not as root: in `dataDir`, as ourselves. As root: in `dataDir`,
 * through a user namespace, so that a clone below a 0700 folder works; where that is refused, as an account without
 * privileges, below `/var/lib/sealwire`. Data that is there already decides, for its owner must not change.
 */
export function decidePlace(dataDir: string, options: PlaceOptions = {}): Place {
  const isRoot = options.isRoot ?? process.getuid?.() === 0
  if (!isRoot) return { folder: dataDir, prefix: [] }
  const reaches = (options.namespaceReaches ?? namespaceReaches)(dataDir)
  if (existsSync(path.join(dataDir, 'postgres'))) {
    if (reaches) return { folder: dataDir, prefix: NAMESPACE }
    throw new Error(`${dataDir} holds a database that root started in a user namespace, which is refused here now.`)
  }
  const elsewhere = accountFolder(dataDir, options.stateFolder ?? STATE_FOLDER)
  if (reaches && !existsSync(path.join(elsewhere, 'postgres'))) return { folder: dataDir, prefix: NAMESPACE }
  return accountPlace(elsewhere)
}

/** Hands everything in `folder` to the account of `place`, when it has one. */
export function handOver(place: Place, folder: string): void {
  if (!place.account) return
  const { uid, gid } = place.account
  chownSync(folder, uid, gid)
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    lchownSync(path.join(folder, entry), uid, gid)
}
