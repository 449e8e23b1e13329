import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type HybridCryptoEnvelope, ML_KEM_SUITE, X_WING_SUITE } from '#src/sdk/index.ts'
import { findIssuer, type Parsed, parse, verifyTree } from '#test/second-reader/open-version-2.ts'
import { readKeyDocument } from '#test/second-reader/signatures.ts'
import { type ServedClient, type ServedDeployment, serveDeployment } from '#test/support/served-deployment.ts'

const loads = [
  { crypto: 'openssl', publishes: 300, atATime: 64 },
  { crypto: 'noble', publishes: 96, atATime: 32 },
]

for (const { crypto, publishes, atATime } of loads) {
  describe(`${publishes} publishes, ${atATime} at a time, to a server with CRYPTO_PROVIDER=${crypto}, and the issuer changes on the way`, () => {
    let served: ServedDeployment
    let clients: readonly ServedClient[]
    let [first, next] = ['', '']
    /** What the SDK opened. */
    const opened: HybridCryptoEnvelope[] = []
    let [signatures, signed, seconds] = [0, 0, 0]

    /** Publishes until enough is opened and the successor has signed some of it. */
    async function load(): Promise<void> {
      let sent = 0
      let changing: Promise<unknown> | undefined
      let isChanged = false
      const caller = async () => {
        while (sent < publishes || !isChanged) {
          assert.ok(sent < 20 * publishes, 'the successor signs nothing')
          const envelope = await clients[sent++ % clients.length]?.publish()
          assert.ok(envelope)
          opened.push(envelope)
          isChanged ||= envelope.signature.key_id === next
          // In place of the six minutes that cached documents take to expire: the operator's clock.
          if (opened.length >= publishes / 4) changing ??= served.operationsAt(360_000).rotate('issuer-key')
        }
      }
      await Promise.all(Array.from({ length: atATime }, caller))
      await changing
    }

    const counted = () =>
      Promise.all(['sealwire_signatures_total', 'sealwire_signing_batch_envelopes_sum'].map(served.metric))

    before(async () => {
      served = await serveDeployment({ CRYPTO_PROVIDER: crypto })
      first = served.operator.keys.issuer.keyId
      next = (await served.operationsAt(0).rotate('issuer-key')).keyId
      clients = await Promise.all([served.client(ML_KEM_SUITE), served.client(X_WING_SUITE)])
      for (const { publish } of clients) await publish() // so that links and keys are there
      const begun = await counted()
      const startedMs = performance.now()
      await load()
      seconds = (performance.now() - startedMs) / 1000
      const [moreSignatures = 0, moreEnvelopes = 0] = await counted()
      signatures = moreSignatures - (begun[0] ?? 0)
      signed = moreEnvelopes - (begun[1] ?? 0)
    })
    after(() => served?.close())

    test('no call fails, every envelope opens, and /metrics says that fewer signatures were made', (t) => {
      const rate = (opened.length / seconds).toFixed(0)
      t.diagnostic(`${rate} a second opened, ${signatures} signatures for ${signed} envelopes`)
      assert.ok(opened.length >= publishes)
      assert.equal(signed, opened.length)
      assert.ok(signatures > 0 && signatures < signed / 2, `${signatures} signatures for ${signed} envelopes`)
      for (const { fetches } of clients) assert.equal(fetches(), 1)
    })

    test('the batches are those of /metrics; each is whole, of one issuer, and its proofs verify in a second implementation', async (t) => {
      const document: unknown = await (await fetch(`${served.url}/.well-known/sealwire-keys`)).json()
      const issuers = readKeyDocument(document, served.operator.keys.rootFingerprint, Math.floor(Date.now() / 1000))
      const bySignature = Map.groupBy(opened.map(parse), ({ signature }) => signature.toString('base64'))
      const batches: Parsed[][] = [...bySignature.values()]
      t.diagnostic(`batches of ${batches.map((batch) => batch.length).join(', ')}`)
      assert.equal(batches.length, signatures)
      const signers = new Set<unknown>()
      for (const batch of batches) {
        const indices = batch.map(({ index }) => index).toSorted((a, b) => a - b)
        assert.deepEqual(indices, [...batch.keys()])
        const signersOfBatch = new Set(batch.map(({ header }) => header.sig))
        assert.equal(signersOfBatch.size, 1)
        for (const signer of signersOfBatch) signers.add(signer)
        for (const one of batch) {
          assert.equal(one.size, batch.length)
          assert.ok(verifyTree(one, findIssuer(one, issuers)).isSigned)
        }
      }
      assert.deepEqual(signers, new Set([first, next]))
    })
  })
}
