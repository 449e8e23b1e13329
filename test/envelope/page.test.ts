import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sizes } from '#src/crypto/sizes.ts'
import { MAX_PLAINTEXT_BYTES, MAX_TREE_SIZE, SIGNATURE_ALGORITHM } from '#src/envelope/envelope.ts'
import { MAX_HEADER_BYTES } from '#src/envelope/header.ts'
import * as labels from '#src/envelope/labels.ts'
import { findSuite, SUITE_NAMES } from '#src/envelope/suites.ts'
import { pageUrl, renderPage } from '#test/vectors/render-vectors.ts'

const page = readFileSync(pageUrl, 'utf8')

test('the vectors in openapi/envelope.md are those of the files', () => assert.equal(renderPage(page), page))

test('openapi/envelope.md without a place for one of its parts is not rendered', () => {
  assert.throws(() => renderPage(page.replace('<!-- vectors: x-wing -->', '')), /no place for x-wing/)
  assert.throws(() => renderPage(page.replace('<!-- vectors: x-wing -->', '<!-- vectors: y-wing -->')), /called y-wing/)
})

test('openapi/envelope.md names every label of the format', () => {
  const texts = Object.values(labels).filter((label) => typeof label === 'string')
  assert.ok(texts.length >= 5)
  for (const label of texts) assert.ok(page.includes(`| \`${label}\` |`), label)
  const info = new TextDecoder().decode(labels.VERSION_1_INFO)
  assert.ok(page.includes(`| \`${info}\`, empty context |`))
})

test('openapi/envelope.md gives the row of every suite', () => {
  for (const name of SUITE_NAMES) {
    const { algorithm, publicKeyBytes, ciphertextBytes, seedBytes } = findSuite(name) ?? assert.fail(name)
    const row = `| \`${name}\` | \`${algorithm}\` | ${publicKeyBytes} | ${ciphertextBytes} | ${seedBytes} | ${sizes.sharedSecret} |`
    assert.ok(page.includes(row), row)
  }
})

test('openapi/envelope.md states the limits of the code', () => {
  const grouped = (value: number) => value.toLocaleString('en-US')
  const most = MAX_PLAINTEXT_BYTES + sizes.gcmNonce + sizes.gcmTag
  for (const text of [
    `more than ${MAX_HEADER_BYTES} must be refused before parsing`,
    `| \`ciphertext_data\` | 28 to ${grouped(most)} |`,
    `a plaintext of at most ${grouped(MAX_PLAINTEXT_BYTES)} bytes`,
    `an integer from 1 to ${grouped(MAX_TREE_SIZE)}`,
    `at most ${Math.log2(MAX_TREE_SIZE)}, exactly as many`,
    `\`${SIGNATURE_ALGORITHM}\``,
    `| \`pqc_signature\` | ${sizes.dsaSignature} |`,
    `| \`hmac_signature\` | ${sizes.hmacTag} |`,
  ])
    assert.ok(page.includes(text), text)
})
