import type { PolicyDocument } from '../../policy/document.ts'
import type { JsonObject, PolicyProblem } from '../../policy/problems.ts'
import { readSessionRules } from '../session-rules.ts'
import { valuesAt } from './claims.ts'
import type { ClaimPath, ClaimsSettings } from './settings.ts'

export type ClaimedRules =
  | { readonly rules: PolicyDocument | undefined }
  /** For the operator's log. */
  | { readonly problems: readonly PolicyProblem[] }

/** Rules that stand in several places are none: some of them might allow what others are there to deny. */
function isAmbiguous(claims: JsonObject, path: ClaimPath): boolean {
  return valuesAt(claims, path).length > 1
}

function valueAt(claims: JsonObject, path: ClaimPath | undefined): unknown {
  return path && valuesAt(claims, path)[0]
}

/**
 * Reads the rules that a token brings. A claim that the configuration names and that is not there, is of another type or holds
 * one rule that is none, refuses: there are no rules to fall back to.
 */
export function claimedRules(claims: JsonObject, settings: ClaimsSettings['rules']): ClaimedRules {
  if (settings === undefined) return { rules: undefined }
  const paths = settings.format === 'tbmq' ? [settings.publish_claim, settings.subscribe_claim] : [settings.claim]
  const named = paths.filter((path) => path !== undefined)
  const unclear = named.find((path) => isAmbiguous(claims, path))
  if (unclear !== undefined) return { problems: [{ path: unclear.join('.'), message: 'leads to several places' }] }
  const isMissing = (path: ClaimPath | undefined) => valueAt(claims, path) === undefined
  if (settings.optional && named.every(isMissing)) return { rules: undefined }
  const missing = settings.optional ? undefined : named.find(isMissing)
  if (missing !== undefined) return { problems: [{ path: missing.join('.'), message: 'is missing' }] }
  const [first, second] = paths.map((path) => valueAt(claims, path))
  const value = settings.format === 'tbmq' ? { pub: first ?? [], sub: second ?? [] } : first
  const read = readSessionRules(settings.format, value)
  return read.document ? { rules: read.document } : { problems: read.problems }
}
