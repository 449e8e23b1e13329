import { quote } from '../problems.ts'
import type { PatternPiece } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'

/** What a placeholder stands for, or the words that say why it stands for nothing here. */
export type Placeholder = Exclude<PatternPiece, string> | { readonly problem: string }

/**
 * Takes a pattern apart at placeholders of the form `{name}`.
 *
 * @returns `undefined` with a problem where a placeholder is unknown or a brace has no partner
 */
export function bracePieces(
  text: string,
  { path, draft, resolve }: { path: string; draft: ImportDraft; resolve: (name: string) => Placeholder },
): readonly PatternPiece[] | undefined {
  const pieces: PatternPiece[] = []
  for (const [i, part] of text.split(/\{([^{}]*)\}/).entries()) {
    if (i % 2 === 0) {
      if (/[{}]/.test(part)) return draft.refuse(path, `${quote(text)}: a brace without its partner`)
      if (part !== '') pieces.push(part)
      continue
    }
    const resolved = resolve(part)
    if ('problem' in resolved) return draft.refuse(path, `{${part.slice(0, 64)}}: ${resolved.problem}`)
    pieces.push(resolved)
  }
  return pieces
}
