import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '#src/core/base64.ts'
import { type Bytes, concatBytes, equalBytes, u32 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { merkleTree, rootFromProof } from '#src/envelope/merkle.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { rootMessage } from '#src/envelope/transcript.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { sealBatch } from './batch.ts'
import { setAt } from './fields.ts'
import { EXPECTED, open, openText } from './forge.ts'
import { ANSWER, issuerMap, makeIssuer, makeParties, PLAINTEXT } from './parties.ts'
import { codeOf, refusal } from './refusal.ts'

const MAX = 64
const parties = makeParties(provider)
const leavesOf = (size: number): Bytes[] => Array.from({ length: size }, (_, i) => provider.sha384(u32(i)))

/** Merkle tree hash as RFC 9162 §2.1.1 defines it, from the top. */
function definedRoot(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 1) return leaves[0] ?? assert.fail()
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  const [left, right] = [definedRoot(leaves.slice(0, split)), definedRoot(leaves.slice(split))]
  return provider.sha384(concatBytes(new Uint8Array([1]), left, right))
}

test('roots of sizes 1 to 64 are those of the definition, and every proof leads to them', () => {
  for (let size = 1; size <= MAX; size++) {
    const leaves = leavesOf(size)
    const { root, proofs } = merkleTree(provider, leaves)
    assert.deepEqual(root, definedRoot(leaves), `size ${size}`)
    assert.equal(proofs.length, size)
    for (const [leafIndex, hashes] of proofs.entries()) {
      const reached = rootFromProof(provider, leaves[leafIndex] ?? assert.fail(), { leafIndex, treeSize: size }, hashes)
      assert.deepEqual(reached, root, `leaf ${leafIndex} of ${size}`)
      assert.ok(hashes.length <= Math.ceil(Math.log2(size)))
    }
  }
})

test('no other index of the same size reaches the root, for sizes 1 to 64', () => {
  let pairs = 0
  for (let size = 1; size <= MAX; size++) {
    const leaves = leavesOf(size)
    const { root, proofs } = merkleTree(provider, leaves)
    for (const [own, hashes] of proofs.entries()) {
      for (let leafIndex = 0; leafIndex < size; leafIndex++) {
        if (leafIndex === own) continue
        const reached = rootFromProof(provider, leaves[own] ?? assert.fail(), { leafIndex, treeSize: size }, hashes)
        assert.ok(reached === undefined || !equalBytes(reached, root), `leaf ${own} of ${size} as ${leafIndex}`)
        pairs++
      }
    }
  }
  assert.equal(pairs, 87_360) // the sum of n (n − 1)
})

test('another size is another signed message, whatever the root', () => {
  const root = provider.sha384(u32(0))
  const messages = new Set(Array.from({ length: MAX }, (_, i) => toBase64(rootMessage(i + 1, root))))
  assert.equal(messages.size, MAX)
})

test('no other index and size give the message that was signed: every pair, for a leaf of each size from 1 to 64', () => {
  let others = 0
  for (let size = 1; size <= MAX; size++) {
    const leafIndex = size % 2 === 0 ? size - 1 : size >> 1
    const leaves = leavesOf(size)
    const [leaf, { root, proofs }] = [leaves[leafIndex] ?? assert.fail(), merkleTree(provider, leaves)]
    const signed = rootMessage(size, root)
    for (let treeSize = 1; treeSize <= MAX; treeSize++) {
      for (let index = 0; index < treeSize; index++) {
        if (treeSize === size && index === leafIndex) continue
        const reached = rootFromProof(
          provider,
          leaf,
          { leafIndex: index, treeSize },
          proofs[leafIndex] ?? assert.fail(),
        )
        const isSigned = reached !== undefined && equalBytes(rootMessage(treeSize, reached), signed)
        assert.ok(!isSigned, `${leafIndex}/${size} as ${index}/${treeSize}`)
        others++
      }
    }
  }
  assert.equal(others, MAX * (2080 - 1)) // 2,080 is the sum of 1 to 64
})

test('an envelope opens at its own index and size only: every other pair, for a batch of each size from 1 to 12', async () => {
  const issuers = issuerMap(parties.issuer.published)
  const most = 12
  let refused = 0
  for (let size = 1; size <= most; size++) {
    const leafIndex = size % 2 === 0 ? size - 1 : size >> 1
    const envelope = (await sealBatch(parties, size))[leafIndex] ?? assert.fail()
    const proof = envelope.signature.inclusion_proof
    assert.deepEqual([proof.leaf_index, proof.tree_size], [leafIndex, size])
    const openAt = (index: number, treeSize: number) => {
      const moved = { ...proof, leaf_index: index, tree_size: treeSize }
      const signature = { ...envelope.signature, inclusion_proof: moved }
      return openEnvelope(provider, { ...envelope, signature }, parties.recipient.reader, issuers, EXPECTED)
    }
    for (let treeSize = 1; treeSize <= most; treeSize++) {
      for (let index = 0; index < treeSize; index++) {
        if (treeSize === size && index === leafIndex) continue
        const code = codeOf(() => openAt(index, treeSize))
        assert.equal(code, 'envelope.rejected', `${leafIndex}/${size} as ${index}/${treeSize}`)
        refused++
      }
    }
    assert.deepEqual(openAt(leafIndex, size).plaintext, PLAINTEXT)
  }
  assert.equal(refused, most * (78 - 1)) // 78 is the sum of 1 to 12
})

test('every envelope of a batch of each size from 1 to 64 opens with OpenSSL, and noble sees who made the last one', async () => {
  const [reader, issuers] = [parties.recipient.reader, issuerMap(parties.issuer.published)]
  const portable = issuerMap(makeIssuer(nobleProvider, 'one').published)
  let opened = 0
  for (let size = 1; size <= MAX; size++) {
    const batch = await sealBatch(parties, size)
    for (const [index, envelope] of batch.entries()) {
      const { plaintext } = openEnvelope(provider, envelope, reader, issuers, EXPECTED)
      assert.deepEqual(plaintext, PLAINTEXT, `${index}/${size}`)
      opened++
    }
    assert.equal(verifyOrigin(nobleProvider, batch.at(-1), portable).rid, ANSWER.rid, `${size}`)
  }
  assert.equal(opened, 2080)
})

const proofs: { why: string; change: (hashes: readonly string[]) => object }[] = [
  { why: 'an extra hash', change: (hashes) => ({ hashes: [...hashes, hashes[0]] }) },
  { why: 'a missing hash', change: (hashes) => ({ hashes: hashes.slice(1) }) },
  { why: 'two hashes swapped', change: ([a, b, ...rest]) => ({ hashes: [b, a, ...rest] }) },
  { why: 'a hash that is no text', change: ([, ...rest]) => ({ hashes: [7, ...rest] }) },
  { why: 'no list of hashes', change: ([first]) => ({ hashes: { 0: first, length: 1 } }) },
  {
    why: 'eleven hashes',
    change: (hashes) => ({ hashes: Array.from({ length: 11 }, () => hashes[0]), tree_size: 1024 }),
  },
  { why: 'an index as text', change: () => ({ leaf_index: '0' }) },
  { why: 'a fraction as index', change: () => ({ leaf_index: 1.5 }) },
  { why: 'a negative index', change: () => ({ leaf_index: -1 }) },
  { why: 'an index beyond the size', change: () => ({ leaf_index: 7 }) },
  { why: 'size 0', change: () => ({ tree_size: 0 }) },
  { why: 'size 1025', change: () => ({ tree_size: 1025 }) },
  { why: 'a leaf offered as root', change: () => ({ tree_size: 1, hashes: [] }) },
]
for (const { why, change } of proofs) {
  test(`a proof with ${why} is refused, and its twin opens`, async () => {
    const envelope = (await sealBatch(parties, 7))[0] ?? assert.fail()
    const proof = envelope.signature.inclusion_proof
    const changed = { ...proof, ...change(proof.hashes) }
    assert.throws(() => open(parties, setAt(envelope, ['signature', 'inclusion_proof'], changed)), refusal())
    assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
  })
}

test('minus zero as index is refused, zero is not', async () => {
  const text = JSON.stringify((await sealBatch(parties, 1))[0])
  const minus = text.replace('"leaf_index":0', '"leaf_index":-0')
  assert.notEqual(minus, text)
  assert.throws(() => openText(parties, minus), refusal())
  assert.deepEqual(openText(parties, text).plaintext, PLAINTEXT)
})

test('an inner node offered as a leaf is another message than the one signed', () => {
  const leaves = leavesOf(4)
  const { root, proofs: all } = merkleTree(provider, leaves)
  const [left, right] = [leaves[0] ?? assert.fail(), leaves[1] ?? assert.fail()]
  const inner = provider.sha384(concatBytes(new Uint8Array([1]), left, right))
  const upper = all[0]?.slice(1) ?? assert.fail()
  assert.deepEqual(rootFromProof(provider, inner, { leafIndex: 0, treeSize: 2 }, upper), root)
  assert.notDeepEqual(rootMessage(2, root), rootMessage(4, root))
  assert.equal(rootFromProof(provider, inner, { leafIndex: 0, treeSize: 4 }, upper), undefined)
})

test('a batch with two issuer keys, an empty one and one of 1,025 are not signed; one of 1,024 is', async () => {
  const { recipient, issuer } = parties
  const seal = (keyId: string) => sealEnvelope(provider, recipient.sealing, keyId, ANSWER, PLAINTEXT)
  const [own, foreign] = [seal(issuer.keyId), seal(makeIssuer(provider, 'two').keyId)]
  await assert.rejects(signLeaves(provider, issuer, [own, foreign]), RangeError)
  await assert.rejects(signLeaves(provider, issuer, []), RangeError)
  const many = Array.from({ length: 1025 }, () => own)
  await assert.rejects(signLeaves(provider, issuer, many), RangeError)
  const signed = await signLeaves(provider, issuer, many.slice(1))
  assert.equal(signed.length, 1024)
  assert.deepEqual(open(parties, own.complete(signed[1023] ?? assert.fail())).plaintext, PLAINTEXT)
})

test('a signature that does not verify is made again, and twice is an error', async () => {
  const { recipient, issuer } = parties
  const sealed = [sealEnvelope(provider, recipient.sealing, issuer.keyId, ANSWER, PLAINTEXT)]
  const faulty = (faults: number) => ({
    ...issuer,
    signing: {
      ...issuer.signing,
      sign: async (message: Uint8Array, context: Uint8Array) => {
        const signature = await issuer.signing.sign(message, context)
        return faults-- > 0 ? signature.fill(0, 0, 8) : signature
      },
    },
  })
  const [signed] = await signLeaves(provider, faulty(1), sealed)
  assert.deepEqual(open(parties, sealed[0]?.complete(signed ?? assert.fail())).plaintext, PLAINTEXT)
  await assert.rejects(signLeaves(provider, faulty(2), sealed), refusal('internal'))
})
