import type { PolicyDocument } from '../document.ts'
import { parsePolicy } from '../parse-policy.ts'
import { quote } from '../problems.ts'
import { exportMosquitto } from './export-mosquitto.ts'
import type { ExportResult } from './export-result.ts'
import { exportSentinel } from './export-sentinel.ts'

const exporters = {
  sentinel: exportSentinel,
  mosquitto: exportMosquitto,
} as const satisfies Record<string, (document: PolicyDocument) => ExportResult>

export type ExportDialect = keyof typeof exporters

export const exportDialects = Object.keys(exporters) as readonly ExportDialect[]

function isDialect(name: string): name is ExportDialect {
  return Object.hasOwn(exporters, name)
}

/**
 * Writes a document in the words of another product, where its meaning survives: imported again, it decides alike. What does
 * not survive is told, each with its place, and nothing is written.
 */
export function exportPolicy(dialect: string, document: unknown): ExportResult {
  if (!isDialect(dialect))
    return {
      text: undefined,
      problems: [{ path: '', message: `${quote(dialect)} cannot be written; known are ${exportDialects.join(', ')}` }],
    }
  const { policy, problems } = parsePolicy(document)
  return policy ? exporters[dialect](policy.document) : { text: undefined, problems }
}
