// A thread that seals, signs and verifies, so that the event loop need not. Whoever starts it names the provider.

import { parentPort, workerData } from 'node:worker_threads'
import type { CryptoProvider } from './crypto/provider.ts'
import { type CryptoJob, createCryptoWorker } from './signing/crypto-job.ts'

const work = createCryptoWorker(await providerNamed(workerData))

/** Loads what the thread works with, and not the other. */
async function providerNamed(name: unknown): Promise<CryptoProvider> {
  if (name === 'noble') return (await import('./crypto/noble.ts')).nobleProvider
  return (await import('./crypto-native/openssl.ts')).opensslInThread
}

/** Ends this thread, whatever Node was told to do about rejections (`--unhandled-rejections`). */
function end(err: unknown): void {
  setImmediate(() => {
    throw err
  })
}

// A failure ends this thread: whoever posted the job sees it, and has it done again by another one.
parentPort?.on('message', (job: CryptoJob) => {
  work(job)
    .then((result) => parentPort?.postMessage(result))
    .catch(end)
})
