import { isUtf8 } from 'node:buffer'
import { decodeUtf8 } from '../core/bytes.ts'
import { findAttacks } from './find-attacks.ts'
import { type AttackClass, type InspectionConfig, type Severity, severities } from './guards-config.ts'
import type { GuardedMessage } from './outcome.ts'
import { scannedTexts } from './scanned-texts.ts'

/** What an inspection found in one payload. */
export interface Inspection {
  /** In the order in which they are reported; empty when nothing was found. */
  readonly classes: readonly string[]
  /** The first that keeps the message from being forwarded; `null` when none does. */
  readonly blocking: string | null
  /** In words, without a word of the payload. */
  readonly reason: string
  /** The highest of the patterns that matched; `null` when none did. */
  readonly severity: Severity | null
}

const nothing: Inspection = { classes: [], blocking: null, reason: '', severity: null }
const NO_BYTES = new Uint8Array()
const attackSeverity: Readonly<Record<AttackClass, Severity>> = {
  sqli: 'high',
  cmd: 'critical',
  xss: 'high',
  path: 'high',
}

function schemaProblem(
  { jsonSchema }: InspectionConfig,
  { topic, payload, retain }: GuardedMessage,
): string | undefined {
  if (!jsonSchema?.topics.matches(topic)) return undefined
  if (retain && payload.length === 0) return undefined // clears a retained message
  return isUtf8(payload) ? jsonSchema.schema.problemOf(decodeUtf8(payload)) : 'it is not UTF-8'
}

/** Looks at one payload. All classes are found that there are, except that one beyond its size is not read. */
export function inspect(config: InspectionConfig, message: GuardedMessage): Inspection {
  const { payload, topic } = message
  if (!config.enabled || config.excludeTopics.matches(topic)) return nothing
  if (config.maxPayloadSize > 0 && payload.length > config.maxPayloadSize)
    return {
      classes: ['size-limit'],
      blocking: 'size-limit',
      reason: `the payload has ${payload.length} bytes, and may have ${config.maxPayloadSize}`,
      severity: null,
    }

  const looks = config.classes.length + config.customPatterns.length > 0
  const scanned = scannedTexts(looks ? payload : NO_BYTES)
  const problem = schemaProblem(config, message)
  const attacks = findAttacks(config.classes, scanned)
  const custom = config.customPatterns.filter(({ searcher }) => searcher.searchTexts(scanned.units, scanned.texts))
  const classes = [
    ...(scanned.complete ? [] : ['size-limit']),
    ...(config.blockBinary && !isUtf8(payload) ? ['binary-payload'] : []),
    ...attacks,
    ...custom.map(({ name }) => `custom-${name}`),
    ...(problem === undefined ? [] : ['schema-validation']),
  ]
  const [first] = classes
  if (first === undefined) return nothing
  const letsThrough = first === 'schema-validation' && config.jsonSchema?.blockOnFailure === false
  const why = problem === undefined ? '' : `: ${problem}`
  const matched = [...attacks.map((name) => attackSeverity[name]), ...custom.map((pattern) => pattern.severity)]
  return {
    classes,
    blocking: letsThrough ? null : first,
    reason: `found in the payload: ${classes.join(', ')}${why}`,
    severity: severities.findLast((one) => matched.includes(one)) ?? null,
  }
}
