import { readFileSync, writeFileSync } from 'node:fs'
import { toText, urlOf, vectorFiles } from '#test/vectors/files.ts'
import { pageUrl, renderPage } from '#test/vectors/render-vectors.ts'

/** Writes the frozen vectors anew, and the parts of the page that show them. Deterministic: an unchanged format gives unchanged files. */
for (const { name, make } of vectorFiles) {
  writeFileSync(urlOf(name), toText(make()))
  process.stdout.write(`test/vectors/${name}\n`)
}
writeFileSync(pageUrl, renderPage(readFileSync(pageUrl, 'utf8')))
process.stdout.write('openapi/envelope.md\n')
