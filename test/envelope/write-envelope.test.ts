import assert from 'node:assert/strict'
import { test } from 'node:test'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { X_WING_SUITE } from '#src/envelope/suites.ts'
import { writeEnvelope } from '#src/envelope/write-envelope.ts'
import { sealBatch } from './batch.ts'
import { makeParties } from './parties.ts'

for (const count of [1, 2, 3, 64]) {
  test(`an envelope of ${count} is written as JSON.stringify writes it`, async () => {
    for (const suite of [undefined, X_WING_SUITE]) {
      for (const envelope of await sealBatch(makeParties(opensslProvider, suite), count))
        assert.equal(writeEnvelope(envelope), JSON.stringify(envelope))
    }
  })
}
