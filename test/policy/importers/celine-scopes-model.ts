import type { CelineAction, CelineSubject } from './celine-model.ts'

/**
 * What the service answers in the model in which the scope that is needed follows from the topic. It looks at the text of a
 * filter of SUBSCRIBE as it looks at a topic name.
 */
export function derivedScopesAllow(
  { type, groups, scopes }: CelineSubject,
  action: CelineAction,
  topic: string,
): boolean {
  const parts = topic.split('/')
  const [root, service = '', resource = ''] = parts
  if (root !== 'celine' || parts.length < 2) return false
  const verb = action === 'publish' ? 'write' : 'read'
  const isUser = type === 'user'
  const isGlobalAdmin = isUser && (groups.includes('admin') || groups.includes('mqtt.admin'))
  const isServiceAdmin = isUser && (groups.includes(`${service}.admin`) || groups.includes(`mqtt:${service}:admin`))
  const hasAdminScope = scopes.includes(`${service}.admin`)
  if (parts.length === 2 || (parts.length === 3 && (resource === '#' || resource === '+')))
    return type !== 'anonymous' && (hasAdminScope || isGlobalAdmin || isServiceAdmin)
  if (resource === '#' || resource === '+') return false
  if (type === 'service')
    return (
      hasAdminScope || scopes.includes(`${service}.${resource}.${verb}`) || scopes.includes(`${service}.${resource}.*`)
    )
  const named = [
    `${service}.${resource}.${verb}`,
    `mqtt:${service}:${resource}:${verb}`,
    `${service}.${resource}.*`,
    `mqtt:${service}:${resource}:*`,
  ]
  return isUser && (isGlobalAdmin || isServiceAdmin || named.some((group) => groups.includes(group)))
}
