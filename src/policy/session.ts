import type { CompiledPolicy } from './compile-policy.ts'
import {
  type CompiledRule,
  type FilledPattern,
  type IndexedTemplate,
  type KeyedMember,
  keyValues,
} from './compiled-rule.ts'
import { fillLevels } from './fill.ts'
import { type Identity, valueAt } from './identity.ts'
import type { Entry, Extras, KeyedEntries } from './pattern-trie.ts'
import { compileTopicRegex, type TopicRegex } from './regex/compile-regex.ts'
import { renderTexts, variableTexts } from './render.ts'
import type { RegexMatcher, Requirement, ShareGroup, TemplateLevel } from './rule.ts'

/** The children of a node by the texts that their variables stand for, and those that take any. */
interface Children {
  readonly byText: Map<string, number[]>
  readonly any: { readonly dollar: boolean; readonly node: number }[]
}

/**
 * What is known of one identity under one policy. Everything is worked out when it is first asked for and remembered, so that
 * a new session costs nothing however large the policy is.
 */
export class Session {
  readonly compiled: CompiledPolicy
  readonly identity: Identity
  readonly #whens = new Map<number, boolean>()
  readonly #texts = new Map<number, readonly string[] | undefined>()
  /** The entry that decided last; `null` where none did. */
  decided: Entry | null = null
  readonly #keys: Partial<Record<KeyedMember, readonly string[]>> = {}
  readonly #filled = new Map<Entry, readonly FilledPattern[]>()
  readonly #regexes = new Map<RegexMatcher, readonly TopicRegex[]>()
  readonly #keyed = new Map<KeyedEntries, Entry | Entry[] | null>()
  readonly #children = new Map<Extras, Children>()
  readonly #elements = new Map<string, ReadonlySet<unknown>>()

  constructor(compiled: CompiledPolicy, identity: Identity) {
    this.compiled = compiled
    this.identity = identity
  }

  /** Whether the `when` of a rule holds. */
  holds({ when, isKeyEnough }: CompiledRule): boolean {
    if (when === -1 || isKeyEnough) return true // found by its key
    const known = this.#whens.get(when)
    if (known !== undefined) return known
    const holds = this.compiled.whens[when]?.every((member) => member.holds(this.identity)) ?? false
    this.#whens.set(when, holds)
    return holds
  }

  keyValues(member: KeyedMember): readonly string[] {
    this.#keys[member] ??= keyValues(this.identity, member)
    return this.#keys[member]
  }

  /** Entries whose key the identity has; a map of all of a policy is looked into once for each session. */
  entriesOf(keyed: KeyedEntries): Entry | Entry[] | null {
    const known = this.#keyed.get(keyed)
    if (known !== undefined) return known
    const values = this.keyValues(keyed.member)
    const found = values.flatMap((value) => keyed.byValue.get(value) ?? [])
    const entries = found.length > 1 ? found : (found[0] ?? null)
    this.#keyed.set(keyed, entries)
    return entries
  }

  /** The texts that a level with variables stands for; `undefined`: any level for a deny, none for an allow. */
  textsOf(template: IndexedTemplate): readonly string[] | undefined {
    const { number } = template
    const known = this.#texts.get(number)
    if (known !== undefined || this.#texts.has(number)) return known
    const texts = renderTexts(template.template.parts, this.identity, template)
    this.#texts.set(number, texts)
    return texts
  }

  /** The children of a node with many variables that a level leads to; `dollar`: the topic begins with `$`. */
  childrenOf(extras: Extras, text: string, dollar: boolean): readonly number[] {
    let children = this.#children.get(extras)
    if (!children) {
      children = this.#indexChildren(extras)
      this.#children.set(extras, children)
    }
    const { byText, any } = children
    const always = dollar ? any.filter((one) => one.dollar) : any
    return [...(byText.get(text) ?? []), ...always.map(({ node }) => node)]
  }

  #indexChildren({ templates }: Extras): Children {
    const children: Children = { byText: new Map(), any: [] }
    for (const { template, dollar, node } of templates) {
      const texts = this.textsOf(template)
      if (texts === undefined && template.strict) children.any.push({ dollar, node })
      for (const text of texts ?? []) {
        const known = children.byText.get(text)
        if (known) known.push(node)
        else children.byText.set(text, [node])
      }
    }
    return children
  }

  /** What a pattern comes to: one filter for each alternative of its variables. */
  fill(entry: Entry): readonly FilledPattern[] {
    if (entry.filled !== null) return entry.filled
    const { levels, templates, isDeny } = entry
    let filled = this.#filled.get(entry)
    if (!filled) {
      const textsOf = ({ text }: TemplateLevel, at: number) => {
        const template = templates.find((one) => one.template.text === text && one.startsPattern === (at === 0))
        return template && this.textsOf(template)
      }
      filled = fillLevels(levels, isDeny, textsOf)
      this.#filled.set(entry, filled)
    }
    return filled
  }

  /** Whether the identity has a value that a rule is looked up by. */
  hasKey({ key }: CompiledRule): boolean {
    return key === null || this.keyValues(key.member).some((value) => key.values.includes(value))
  }

  /** The regex of an entry with its variables filled in: one for each alternative, none for an allow that cannot be filled. */
  regexesOf({ regexes, matcher, isDeny }: Entry): readonly TopicRegex[] {
    if (regexes !== null || matcher.kind !== 'regex') return regexes ?? []
    let filled = this.#regexes.get(matcher)
    if (filled === undefined) {
      filled = this.fillRegex(matcher, isDeny)
      this.#regexes.set(matcher, filled)
    }
    return filled
  }

  /** Fills a regex in, and remembers nothing. */
  fillRegex({ parts, variables }: RegexMatcher, strict: boolean): readonly TopicRegex[] {
    let fillings: (string | null)[][] = [[]]
    for (const [i, variable] of variables.entries()) {
      const first = typeof parts[0] === 'object' && parts[0].hole === i
      const texts = variableTexts(variable, this.identity, { first, strict }) ?? (strict ? [null] : [])
      fillings = fillings.flatMap((filling) => texts.map((text) => [...filling, text]))
    }
    return fillings.map((filling) => compileTopicRegex(parts, filling))
  }

  #elementsAt({ path, pathText }: Requirement): ReadonlySet<unknown> {
    let elements = this.#elements.get(pathText)
    if (!elements) {
      const value = valueAt(this.identity, path)
      elements = new Set(Array.isArray(value) ? value : [])
      this.#elements.set(pathText, elements)
    }
    return elements
  }

  /**
   * Whether the requirements of a rule are met. `textAt` gives the text of a captured level, or `undefined` over a wildcard:
   * such a template is skipped, or satisfies where `unboundSatisfies`.
   */
  meets(
    requirements: readonly Requirement[],
    textAt: (name: string) => string | undefined,
    unboundSatisfies: boolean,
  ): boolean {
    return requirements.every((requirement) => {
      const elements = this.#elementsAt(requirement)
      return requirement.templates.some((template) => {
        let text = ''
        for (const part of template) {
          const piece = typeof part === 'string' ? part : textAt(part.capture)
          if (piece === undefined) return unboundSatisfies
          text += piece
        }
        return elements.has(text)
      })
    })
  }

  /** Whether a share group is one of those that a rule names. */
  isInGroups(groups: readonly ShareGroup[], group: string, isDeny: boolean): boolean {
    return groups.some((parts) => {
      const texts = renderTexts(parts, this.identity, { startsPattern: false, strict: isDeny })
      return texts === undefined ? isDeny : texts.includes(group)
    })
  }
}
