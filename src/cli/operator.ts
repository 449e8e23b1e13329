import { type Config, parseConfig } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import type { Io } from './io.ts'

/** What commands for the operator of a host need of the server. */
export type Operator = Pick<
  typeof import('../app.ts'),
  | 'serve'
  | 'initialise'
  | 'createTenant'
  | 'eachTenant'
  | 'setTenant'
  | 'operateKeys'
  | 'rewrapWraps'
  | 'listKmsKeys'
  | 'removeKmsKey'
  | 'usersFile'
  | 'tryHook'
>

/** Loads the server only for the commands that need it. */
export type LoadOperator = () => Promise<Operator>

/** Reads the configuration as the server does. */
export function operatorConfig({ env }: Io): Config {
  return parseConfig(env)
}

/** Shows warnings and errors of the server's log; the rest is not for the screen of a command. */
export function operatorLog({ err }: Io): Log {
  const say = (_fields: object, message: string) => err(message)
  return { debug() {}, info() {}, warn: say, error: say }
}
