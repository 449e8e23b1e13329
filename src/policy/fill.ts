import { type CapturePlace, type FilledPattern, spansLevels } from './compiled-rule.ts'
import { ANY, canonical, type Level, type Levels } from './levels.ts'
import type { PatternLevel, TemplateLevel } from './rule.ts'
import { isTemplate } from './rule.ts'

interface Filling {
  readonly levels: Level[]
  readonly captures: CapturePlace[]
}

function append(level: Exclude<PatternLevel, TemplateLevel>, { levels, captures }: Filling): void {
  if (typeof level === 'object') captures.push({ name: level.capture, level: levels.length })
  levels.push(typeof level === 'object' ? ANY : level)
}

/**
 * Fills the variables of a pattern in: one filter for each alternative. `textsOf` gives the texts that a level stands for;
 * where it gives none, the level is any for a deny (`strict`), and an allow comes to nothing.
 */
export function fillLevels(
  levels: readonly PatternLevel[],
  strict: boolean,
  textsOf: (level: TemplateLevel, at: number) => readonly string[] | undefined,
): readonly FilledPattern[] {
  if (levels.every((level) => typeof level !== 'object')) return [{ levels: canonical(levels as Levels), captures: [] }]
  let fillings: Filling[] = [{ levels: [], captures: [] }]
  for (const [at, level] of levels.entries()) {
    if (!isTemplate(level)) {
      for (const filling of fillings) append(level, filling)
      continue
    }
    const texts: readonly (string | null)[] = textsOf(level, at) ?? (strict ? [null] : [])
    const alternatives = texts.map((text): Level[] =>
      text === null ? [ANY] : spansLevels(level) ? text.split('/') : [text],
    )
    fillings = fillings.flatMap((filling) =>
      alternatives.map((more) => ({ levels: [...filling.levels, ...more], captures: [...filling.captures] })),
    )
  }
  return fillings.map((filling) => ({ levels: canonical(filling.levels), captures: filling.captures }))
}
