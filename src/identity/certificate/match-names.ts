import { compileTextRegex } from '../../policy/regex/compile-regex.ts'
import type { Certificate } from './parse-certificate.ts'
import { type CertificateMatch, type NameKind, type NameTest, nameKinds } from './settings.ts'

/** The names of one kind. */
export function namesOf({ commonNames, altNames }: Certificate, kind: NameKind): readonly string[] {
  return kind === 'cn' ? commonNames : altNames[kind]
}

const MAX_USERNAME = 256

/**
 * The one name that becomes the username. A URI may hold `/`; of the other kinds a name must be a single level of a topic, so
 * that no broker and no pattern that puts it into one is given a wildcard or more levels by whoever asked for the certificate.
 */
export function usernameOf(certificate: Certificate, kind: NameKind): string | undefined {
  const [name, ...more] = namesOf(certificate, kind)
  if (name === undefined || name === '' || name.length > MAX_USERNAME || more.length > 0) return undefined
  return (kind === 'uri' ? /[+#]/ : /[/+#]/).test(name) ? undefined : name
}

function compileTest(kind: NameKind, test: NameTest): (name: string) => boolean {
  if (typeof test === 'object') return compileTextRegex(test.regex, 'full')
  const wanted = kind === 'dns' ? test.toLowerCase() : test
  return (name) => name === wanted
}

/** Finds the first entry of which every test holds. Regular expressions match whole names, in linear time. */
export function compileMatches(
  matches: readonly CertificateMatch[],
): (certificate: Certificate) => CertificateMatch | undefined {
  const compiled = matches.map((match) => ({
    match,
    tests: nameKinds.flatMap((kind) => {
      const test = match[kind]
      return test === undefined ? [] : [{ kind, holds: compileTest(kind, test) }]
    }),
  }))
  return (certificate) =>
    compiled.find(({ tests }) => tests.every(({ kind, holds }) => namesOf(certificate, kind).some(holds)))?.match
}
