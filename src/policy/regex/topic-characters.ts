import { type CharSet, includes } from './char-set.ts'

export const SLASH = 0x2f
export const DOLLAR = 0x24

/** What no topic name holds, whatever the options of a policy: NUL, `+`, `#`, halves of surrogate pairs. */
const neverInNames: CharSet = [0x00, 0x00, 0x23, 0x23, 0x2b, 0x2b, 0xd800, 0xdfff]

/** Control characters, which most policies refuse, and the separators of lines and paragraphs, which `.` does not take. */
const edgeCharacters: CharSet = [0x01, 0x1f, 0x7f, 0x9f, 0x2028, 0x2029]

/** What is told apart when the names of a filter are compared with those of a regular expression. */
export const topicSets: readonly CharSet[] = [[SLASH, SLASH], [DOLLAR, DOLLAR], neverInNames, edgeCharacters]

/** Whether a wildcard may stand for a character: in every name, or only in those without edge characters. */
export function mayStandInName(codePoint: number, withEdges: boolean): boolean {
  return !includes(neverInNames, codePoint) && (withEdges || !includes(edgeCharacters, codePoint))
}
