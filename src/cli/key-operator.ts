import { type Io, MisuseError } from './io.ts'
import { type LoadOperator, type Operator, operatorConfig, operatorLog } from './operator.ts'
import { readRootFile } from './root-file.ts'

type Work<T> = Parameters<Operator['operateKeys']>[2] extends (...args: infer Args) => unknown
  ? (...args: Args) => Promise<T>
  : never
export type KeyOperations = Parameters<Parameters<Operator['operateKeys']>[2]>[0]

/** Runs `work` on the keys of the deployment, beside the running server where there is one. */
export async function withKeys<T>(io: Io, load: LoadOperator, work: Work<T>): Promise<T> {
  const { operateKeys } = await load()
  return operateKeys(operatorConfig(io), { log: operatorLog(io) }, work)
}

type OfflineRoot = ReturnType<KeyOperations['parseRootFile']>

/** Reads the root that the operator brings. */
export async function readRoot(io: Io, operations: KeyOperations, file: string): Promise<OfflineRoot> {
  return operations.parseRootFile(await readRootFile(io, file))
}

/** The same, where one is named. */
export async function bringRoot(
  io: Io,
  operations: KeyOperations,
  file: string | undefined,
): Promise<OfflineRoot | undefined> {
  return file === undefined ? undefined : readRoot(io, operations, file)
}

/**
 * Asks for `--yes` where something cannot be undone.
 *
 * @throws {MisuseError} without it; says what will happen
 */
export function assertConfirmed(isConfirmed: boolean, whatWillHappen: string, flag = '--yes'): void {
  if (!isConfirmed) throw new MisuseError(whatWillHappen, `if you mean it, add ${flag}`)
}

/** What to type when readers do not know of a change yet. */
export const SIGN_HINT =
  'hint: the root is offline and readers do not know yet; sign the document: sealwire keys root sign --root-file FILE'
