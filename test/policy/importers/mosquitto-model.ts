import type { Identity } from '#src/policy/identity.ts'
import { stands } from './mqtt-model.ts'

/** A line of an ACL file; `user` is the last `user` line above, absent before the first. */
export interface AclLine {
  readonly kind: 'topic' | 'pattern'
  readonly user?: string
  readonly access: 'read' | 'write' | 'readwrite' | 'deny'
  readonly topic: string
}

/** Writes lines as a file. */
export function aclText(lines: readonly AclLine[]): string {
  let user: string | undefined
  return lines
    .map((line) => {
      const isNewUser = line.user !== undefined && line.user !== user
      if (line.user !== undefined) user = line.user
      return `${isNewUser ? `user ${line.user}\n` : ''}${line.kind} ${line.access} ${line.topic}\n`
    })
    .join('')
}

/** The first hit of a list decides, and denies are asked before grants. */
function askList(
  lines: readonly AclLine[],
  asked: 'read' | 'write',
  fits: (topic: string) => boolean,
): boolean | undefined {
  const hits = lines.filter(({ topic }) => fits(topic))
  if (hits.some(({ access }) => access === 'deny')) return false
  return hits.some(({ access }) => access === asked || access === 'readwrite') ? true : undefined
}

/** What Mosquitto answers about a message: the lines for the user, then the patterns. */
export function mosquittoAllows(
  lines: readonly AclLine[],
  { clientId = '', username }: Identity,
  asked: 'read' | 'write',
  name: string,
): boolean {
  const own = lines.filter(({ kind, user }) => kind === 'topic' && user === username)
  const first = askList(own, asked, (topic) => stands(topic, name))
  if (first !== undefined) return first
  const patterns = lines.filter(({ kind }) => kind === 'pattern')
  if (patterns.length > 0 && /[+#]/.test(`${clientId}${username ?? ''}`)) return false
  const usable = patterns.filter(({ topic }) => username !== undefined || !topic.includes('%u'))
  const filled = (topic: string) => topic.replaceAll('%c', clientId).replaceAll('%u', username ?? '')
  return askList(usable, asked, (topic) => stands(filled(topic), name)) ?? false
}
