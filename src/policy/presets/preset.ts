import { AppError } from '../../core/errors.ts'
import { POLICY_SCHEMA, type PolicyDocument } from '../document.ts'
import { defaultSyntaxLimits, topicNameProblem } from '../topic-syntax.ts'
import { agents } from './agents.ts'
import { blank } from './blank.ts'
import { chat } from './chat.ts'
import { deviceTwin } from './device-twin.ts'
import { notifications } from './notifications.ts'
import { permitAll } from './permit-all.ts'
import type { PresetSource } from './preset-source.ts'
import { readOnlyDashboard } from './read-only-dashboard.ts'
import { sparkplug } from './sparkplug.ts'

const presets = {
  'permit-all': permitAll,
  notifications,
  agents,
  chat,
  blank,
  'device-twin': deviceTwin,
  'read-only-dashboard': readOnlyDashboard,
  sparkplug,
} as const satisfies Record<string, PresetSource>

export type PresetName = keyof typeof presets

export const presetNames = Object.keys(presets) as readonly PresetName[]

export function isPresetName(name: string): name is PresetName {
  return Object.hasOwn(presets, name)
}

/** Says in one sentence who may do what. */
export function describePreset(name: PresetName): string {
  return presets[name].description
}

const MAX_NAMESPACE = 256

function refuseBadNamespace(namespace: string): void {
  const isName = topicNameProblem(namespace, defaultSyntaxLimits) === undefined
  if (isName && namespace.length <= MAX_NAMESPACE && !namespace.startsWith('$') && !namespace.split('/').includes(''))
    return
  throw new AppError(
    'request.invalid',
    `The namespace of a preset is levels of a topic: none empty, no wildcard, no $ at the front, at most ${MAX_NAMESPACE} characters.`,
  )
}

/**
 * Writes a policy to start from, with tests that say what it is for. `namespace` are the levels in front of every topic, as
 * in `acme/site-1`; an empty one leaves them out.
 *
 * @throws {AppError} `request.invalid` for a namespace that is no beginning of a topic
 */
export function preset(name: PresetName, { namespace }: { readonly namespace?: string } = {}): PolicyDocument {
  const source: PresetSource = presets[name]
  const levels = namespace ?? source.namespace
  if (levels !== '') refuseBadNamespace(levels)
  const topic = (rest: string) => (levels === '' ? rest : `${levels}/${rest}`)
  const rule = (rest: string) => (levels === '' ? rest : `${levels.replaceAll('${', () => '$${')}/${rest}`)
  return { schema: POLICY_SCHEMA, id: name, description: source.description, ...source.write({ topic, rule }) }
}
