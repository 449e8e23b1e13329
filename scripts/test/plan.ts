import type { Need, TestFile } from './test-files.ts'

/** The needs that `SEALWIRE_TEST_SKIP` may name. */
export const skippable: readonly Need[] = [
  'browser',
  'postgres',
  'mosquitto',
  'mosquitto-plugin',
  'java',
  'netns',
  'openssl',
]

export interface LeftOut {
  file: string
  why: string
  /** Whether `SEALWIRE_TEST_SKIP` names it. */
  asked: boolean
}

export interface Plan {
  run: readonly string[]
  leftOut: readonly LeftOut[]
}

/**
 * Reads `SEALWIRE_TEST_SKIP`, a comma-separated list of needs.
 *
 * @throws {Error} for a word that is no need, so that a misspelt skip is not a silent one
 */
export function parseSkip(text: string | undefined): ReadonlySet<Need> {
  const words = (text ?? '').split(',').flatMap((word) => word.trim() || [])
  for (const word of words) {
    if (!(skippable as readonly string[]).includes(word))
      throw new Error(`SEALWIRE_TEST_SKIP: ${word} is none of ${skippable.join(', ')}`)
  }
  return new Set(words as Need[])
}

/** Decides which files run. Files that need the vectors are left out where there are none, and are named as not asked for. */
export function planRun(files: readonly TestFile[], skip: ReadonlySet<Need>, vectorsFolder: string | undefined): Plan {
  const leftOut: LeftOut[] = []
  const run: string[] = []
  for (const { file, needs } of files) {
    const skipped = [...needs].filter((need) => skip.has(need))
    if (skipped.length > 0) leftOut.push({ file, why: `SEALWIRE_TEST_SKIP=${skipped.join(',')}`, asked: true })
    else if (needs.has('vectors') && vectorsFolder === undefined)
      leftOut.push({ file, why: 'no published vectors: see SEALWIRE_VECTORS above', asked: false })
    else run.push(file)
  }
  return { run, leftOut }
}
