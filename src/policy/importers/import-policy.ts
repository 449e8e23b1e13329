import { quote } from '../problems.ts'
import { importAws } from './aws.ts'
import { importCeline } from './celine.ts'
import { importCelineScopes } from './celine-scopes.ts'
import { importCloudsignal } from './cloudsignal.ts'
import { importEmqx } from './emqx.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { importMosquitto } from './mosquitto.ts'
import { importMosquittoDynsec } from './mosquitto-dynsec.ts'
import { importSentinel } from './sentinel.ts'
import { importTbmq } from './tbmq.ts'

const importers = {
  sentinel: importSentinel,
  celine: importCeline,
  'celine-scopes': importCelineScopes,
  tbmq: importTbmq,
  cloudsignal: importCloudsignal,
  mosquitto: importMosquitto,
  'mosquitto-dynsec': importMosquittoDynsec,
  emqx: importEmqx,
  aws: importAws,
} as const satisfies Record<string, (input: unknown, options: ImportOptions) => ImportResult>

export type ImportDialect = keyof typeof importers

export const importDialects = Object.keys(importers) as readonly ImportDialect[]

function isDialect(name: string): name is ImportDialect {
  return Object.hasOwn(importers, name)
}

/**
 * Translates a policy of another product. The source is a text, or JSON that has been parsed; whatever it is, the answer is
 * a document that `parsePolicy` accepts, with notes on what means something else here, or the problems that stand in the way.
 */
export function importPolicy(dialect: string, input: unknown, options: ImportOptions = {}): ImportResult {
  if (isDialect(dialect)) return importers[dialect](input, options)
  return {
    document: undefined,
    problems: [{ path: '', message: `${quote(dialect)} is no dialect; known are ${importDialects.join(', ')}` }],
  }
}
