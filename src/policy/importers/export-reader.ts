import type { MatcherDocument, PolicyDocument, RuleDocument } from '../document.ts'
import { Problems } from '../problems.ts'
import type { ExportResult } from './export-result.ts'
import type { ImportNote } from './import-result.ts'

/** A filter of a rule in parts: literal text, and variables without `${` and `}`. */
export type FilterPart = string | { readonly variable: string }

/** A rule, its place in the document, and the filters that it consists of. */
export interface ExportRule {
  readonly path: string
  readonly rule: RuleDocument
  readonly filters: readonly (readonly FilterPart[])[]
}

const STARTS_WILD = /^[+#](\/|$)/

/** Collects what an exporter cannot say in the words of the other product. */
export class ExportReader {
  readonly problems = new Problems()
  readonly notes: ImportNote[] = []
  readonly #document: PolicyDocument

  constructor(document: PolicyDocument) {
    this.#document = document
  }

  /** Returns nothing, in place of the value that could not be written. */
  refuse(path: string, message: string): undefined {
    return this.problems.add(path, message)
  }

  note(kind: ImportNote['kind'], path: string, message: string): void {
    this.notes.push({ path, kind, message })
  }

  /** Holds the members beside the rules to what the other product always does. */
  requireOptions(options: NonNullable<PolicyDocument['options']>): void {
    const wanted = {
      subscribe: 'strict',
      receive: 'derive',
      maxTopicBytes: 65_535,
      maxTopicLevels: 128,
      rejectControlChars: true,
      ...options,
    }
    for (const [name, value] of Object.entries(wanted) as [keyof typeof wanted, unknown][]) {
      const given = this.#document.options?.[name] ?? (name === 'subscribe' ? 'strict' : undefined)
      if (given !== undefined && given !== value)
        this.refuse(`options.${name}`, `the other side always works with ${JSON.stringify(value)}`)
    }
    const { default: fallback = 'deny' } = this.#document
    const {
      publish = 'deny',
      subscribe = 'deny',
      connect = 'allow',
      unsubscribe = 'allow',
    } = typeof fallback === 'string' ? { publish: fallback, subscribe: fallback } : fallback
    if (publish !== 'deny' || subscribe !== 'deny')
      this.refuse(
        'default',
        'allow leaves out topics that begin with $; write the rule {"filter": "#", "dollar": true} at the lowest priority instead',
      )
    if (connect !== 'allow' || unsubscribe !== 'allow')
      this.refuse('default', 'has no default for connect and unsubscribe')
  }

  /**
   * The enabled rules but those that `isSaid` otherwise. Members that the other product has nothing for are refused.
   *
   * @param dollar whether a wildcard of the first level stands there for names that begin with `$`
   */
  rules(
    known: readonly (keyof RuleDocument)[],
    dollar: boolean,
    isSaid: (rule: RuleDocument) => boolean = () => false,
  ): readonly ExportRule[] {
    const always: readonly string[] = [
      'id',
      'description',
      'enabled',
      'effect',
      'priority',
      'when',
      'actions',
      'topics',
      ...known,
    ]
    const neutral: Readonly<Record<string, unknown>> = { retain: 'any', shared: 'any', will: true, overlap: 'refuse' }
    return this.#document.rules.flatMap((rule, i) => {
      const path = `rules[${i}]`
      if (rule.enabled === false || isSaid(rule)) return []
      for (const [name, value] of Object.entries(rule))
        if (!always.includes(name) && !name.startsWith('x-') && neutral[name] !== value)
          this.refuse(`${path}.${name}`, 'has no counterpart there')
      const topics = rule.topics ?? []
      return [
        {
          path,
          rule,
          filters: topics.flatMap((topic, k) => this.#filter(topic, rule, `${path}.topics[${k}]`, dollar) ?? []),
        },
      ]
    })
  }

  #filter(
    topic: MatcherDocument,
    { effect }: RuleDocument,
    path: string,
    dollar: boolean,
  ): (readonly FilterPart[])[] | undefined {
    if (typeof topic === 'object' && !('filter' in topic))
      return this.refuse(path, 'only filters have a counterpart there, no eq and no regex')
    const text = typeof topic === 'string' ? topic : topic.filter
    const isDollar = (typeof topic === 'string' ? undefined : topic.dollar) ?? effect === 'deny'
    if (text.startsWith('$share/'))
      return this.refuse(path, 'a shared subscription is judged by its filter there; write that filter')
    if (/(^|\/)\+:/.test(text)) return this.refuse(path, 'a capture has no counterpart there')
    if ((STARTS_WILD.test(text) || text.startsWith('${')) && isDollar !== dollar)
      return this.refuse(
        path,
        `a wildcard in the first level ${dollar ? 'always' : 'never'} stands for names that begin with $ there; write dollar: ${dollar}`,
      )
    return [this.#parts(text)]
  }

  /** Takes a filter apart that `parsePolicy` has accepted. */
  #parts(text: string): readonly FilterPart[] {
    return text.split(/(\$\$\{|\$\{[^}]*\})/).flatMap((piece): FilterPart[] => {
      if (piece === '') return []
      if (piece === '$${') return ['${']
      return piece.startsWith('${') ? [{ variable: piece.slice(2, -1) }] : [piece]
    })
  }

  finish(write: () => string): ExportResult {
    if (this.problems.found.length > 0) return { text: undefined, problems: this.problems.found }
    return { text: write(), notes: this.notes }
  }
}

/** The filter as text where it has no variable. */
export function literalFilter(parts: readonly FilterPart[], path: string, reader: ExportReader): string | undefined {
  const texts = parts.filter((part) => typeof part === 'string')
  if (texts.length === parts.length) return texts.join('')
  return reader.refuse(path, 'a variable has no counterpart there')
}
