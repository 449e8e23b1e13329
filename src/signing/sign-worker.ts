import { parentPort } from 'node:worker_threads'
import { nobleProvider } from '../crypto/noble.ts'
import type { SigningKey, VerifyKey } from '../crypto/provider.ts'

/** One job, as it is posted to a worker. The half of the key comes with the first job of that key, and is kept. */
export type SigningJob = Forgetting &
  (
    | { readonly sign: number; readonly seed?: Uint8Array; readonly message: Uint8Array; readonly context: Uint8Array }
    | {
        readonly verify: number
        readonly publicKey?: Uint8Array
        readonly message: Uint8Array
        readonly context: Uint8Array
        readonly signature: Uint8Array
      }
  )

interface Forgetting {
  /** A key that is not kept any longer; should it be needed again, its half comes again. */
  readonly forget?: number
}

export type SigningResult = { readonly signature: Uint8Array } | { readonly isValid: boolean }

const signingKeys = new Map<number, SigningKey>()
const verifyKeys = new Map<number, VerifyKey>()

/** Looks a key up, or makes it of the bytes that came along, which are wiped. */
function known<Key>(
  keys: Map<number, Key>,
  id: number,
  bytes: Uint8Array | undefined,
  make: (bytes: Uint8Array) => Key,
) {
  let key = keys.get(id)
  if (!key && bytes) {
    key = make(bytes)
    bytes.fill(0)
    keys.set(id, key)
  }
  if (!key) throw new Error('A job came without its key.')
  return key
}

async function work(job: SigningJob): Promise<SigningResult> {
  if (job.forget !== undefined) for (const keys of [signingKeys, verifyKeys]) keys.delete(job.forget)
  if ('sign' in job) {
    const key = known(signingKeys, job.sign, job.seed, (seed) => nobleProvider.signingKey(seed))
    return { signature: await key.sign(job.message, job.context) }
  }
  const key = known(verifyKeys, job.verify, job.publicKey, (bytes) => {
    const made = nobleProvider.verifyKey(bytes)
    if (!made) throw new Error('Not a verification key.')
    return made
  })
  return { isValid: key.verify(job.message, job.context, job.signature) }
}

// A failure ends this thread: whoever posted the job sees it, and has it done again by another one.
parentPort?.on('message', (job: SigningJob) => {
  void work(job).then((result) => parentPort?.postMessage(result))
})
