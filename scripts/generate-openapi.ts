import { readFileSync, writeFileSync } from 'node:fs'
import { createOpenApiDocument } from '#src/http/openapi-document.ts'

// npm run openapi           writes openapi/openapi.json
// npm run openapi -- --check  exits 1 when the file is not what the code says
const file = new URL('../openapi/openapi.json', import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const text = `${JSON.stringify(createOpenApiDocument(version), null, 2)}\n`

if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
  console.log('openapi/openapi.json written')
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('openapi/openapi.json is stale: run npm run openapi, and commit it')
  process.exitCode = 1
}
