/** What a template may name: the facts of a connection that a service can judge. */
export const placeholders = [
  'clientId',
  'username',
  'password',
  'passwordBase64',
  'token',
  'commonName',
  'ip',
  'listener',
  'protocol',
] as const
export type Placeholder = (typeof placeholders)[number]

/** Facts as text. One that a client did not show is absent, which is not the same as empty. */
export type Facts = Partial<Readonly<Record<Placeholder, string>>>

interface Slot {
  readonly name: Placeholder
  /** Written `${name?}`: the client may do without. */
  readonly optional: boolean
}

export type Template = readonly (string | Slot)[]

const SLOT = /\$\{([^{}]*)\}/
const isPlaceholder = (name: string): name is Placeholder => (placeholders as readonly string[]).includes(name)

/**
 * Reads a text with `${name}` and `${name?}` in it.
 *
 * @returns the template, or what is wrong with the text
 */
export function parseTemplate(text: string): Template | { readonly problem: string } {
  const parts: (string | Slot)[] = []
  // Split by a group: texts stand at even places, names at odd ones.
  for (const [i, part] of text.split(SLOT).entries()) {
    if (i % 2 === 0) {
      if (part.includes('${')) return { problem: 'has a `${` that is not closed' }
      if (part !== '') parts.push(part)
      continue
    }
    const name = part.endsWith('?') ? part.slice(0, -1) : part
    if (!isPlaceholder(name)) {
      return {
        problem: `names an unknown placeholder \`\${${part.slice(0, 40)}}\`; known are ${placeholders.join(', ')}`,
      }
    }
    parts.push({ name, optional: part.endsWith('?') })
  }
  return parts
}

export function slotsOf(template: Template): readonly Slot[] {
  return template.filter((part) => typeof part !== 'string')
}

/**
 * Fills a template in one pass: what a client sent is never read as a template. `undefined` where an optional fact is absent:
 * the member that the template stands for is then left out, so that nobody takes a part of it for the whole. Facts that are
 * not optional must be there.
 */
export function fillTemplate(template: Template, facts: Facts): string | undefined {
  let text = ''
  for (const part of template) {
    const value = typeof part === 'string' ? part : facts[part.name]
    if (value === undefined) return undefined
    text += value
  }
  return text
}
