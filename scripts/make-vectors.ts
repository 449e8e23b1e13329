import { writeFileSync } from 'node:fs'
import { toText, urlOf, vectorFiles } from '#test/vectors/files.ts'

/** Writes the frozen vectors anew. Deterministic: an unchanged format gives unchanged files. */
for (const { name, make } of vectorFiles) {
  writeFileSync(urlOf(name), toText(make()))
  process.stdout.write(`test/vectors/${name}\n`)
}
