import { parentPort } from 'node:worker_threads'
import { AppError, type ErrorCode, type ErrorDetails } from '../core/errors.ts'
import { examine, importDocument, type Jobs, simulateRequests } from './judge.ts'

/** One job, as it is posted to a worker. */
export interface Order<Name extends keyof Jobs = keyof Jobs> {
  readonly name: Name
  readonly job: Jobs[Name]['job']
}

/** What a worker posts back: a result, a refusal that the caller may see, or that the program failed. */
export type Reply =
  | { readonly result: unknown }
  | { readonly refused: { readonly code: ErrorCode; readonly message: string; readonly details: ErrorDetails } }
  | { readonly failed: { readonly name: string; readonly stack: string } }

const work: { [Name in keyof Jobs]: (job: Jobs[Name]['job']) => Jobs[Name]['result'] } = {
  examine,
  simulate: simulateRequests,
  import: importDocument,
}

function answer<Name extends keyof Jobs>({ name, job }: Order<Name>): Reply {
  try {
    return { result: work[name](job) }
  } catch (err) {
    if (err instanceof AppError)
      return { refused: { code: err.code, message: err.message, details: err.details ?? {} } }
    const { name: kind, stack = '' } = err instanceof Error ? err : new Error(String(err))
    return { failed: { name: kind, stack } }
  }
}

// Jobs run one after another; whoever posts them ends this thread when one takes too long.
parentPort?.on('message', (order: Order) => parentPort?.postMessage(answer(order)))
