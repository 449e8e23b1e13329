import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Where the name server of a namespace listens, on port 53. */
export const NAMESPACE_DNS = '127.0.0.53'

/** A public address that the loopback interface of a namespace has, as a server in front of no gateway would. */
export const OWN_PUBLIC_ADDRESS = '93.184.216.99'

const isRoot = process.getuid?.() === 0
/** A network of its own, and mounts of its own for its resolv.conf; who is not root becomes that inside. */
const NAMESPACES = [...(isRoot ? [] : ['--user', '--map-root-user']), '--net', '--mount', '--fork', '--kill-child']

/** Every address there is, of both families, is this host: whoever listens on `::` hears whatever is dialled. */
const SETUP = `set -e
ip link set lo up
ip addr add ${OWN_PUBLIC_ADDRESS}/32 dev lo
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"`

function setUp(conf: string, command: readonly string[]): string[] {
  return [...NAMESPACES, 'sh', '-c', SETUP, 'sh', conf, ...command]
}

/** Why no namespace can be made here, for a test's `skip`; `false` where one can. */
export function whyNoNamespace(): string | false {
  try {
    execFileSync('unshare', setUp('/etc/resolv.conf', ['true']), { stdio: 'pipe' })
    return false
  } catch (err) {
    const { stderr } = err as { stderr?: Buffer }
    const why = stderr?.toString().trim() || (err as Error).message
    return `netns: no private network namespace can be made here (${why.split('\n')[0]})`
  }
}

/**
 * Runs a script of the tests in a network of its own, from which nothing gets out and in which every address leads to
 * itself; its sockets in the file system are those of this host. It writes its result, as JSON, to the file `RESULT_FILE`.
 *
 * @throws {Error} with what the script said, when it fails
 */
export async function runInNamespace(script: string, { timeoutMs }: { timeoutMs: number }): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-namespace-'))
  try {
    const [conf, result] = [path.join(folder, 'resolv.conf'), path.join(folder, 'result.json')]
    await writeFile(conf, `nameserver ${NAMESPACE_DNS}\n`)
    const { NODE_TEST_CONTEXT: _, ...env } = process.env // it is no test file
    const args = setUp(conf, [process.execPath, script])
    const options = { env: { ...env, RESULT_FILE: result }, timeout: timeoutMs, killSignal: 'SIGKILL' } as const
    await run('unshare', args, options)
    return JSON.parse(await readFile(result, 'utf8'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
