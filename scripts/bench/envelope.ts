// The envelope part of the benchmark: sealing, verifying and opening beside the bare primitives that they are made of, in one
// run and turn by turn, and what a byte costs in a large envelope.
import { utf8 } from '#src/core/bytes.ts'
import { parseStrictJson } from '#src/core/strict-json.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { sizes } from '#src/crypto/sizes.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import { deriveEnvelopeKeys } from '#src/envelope/envelope-keys.ts'
import { ENVELOPE_CONTEXT } from '#src/envelope/labels.ts'
import { type IssuerKey, openEnvelope, type ReaderRecipient } from '#src/envelope/open.ts'
import { parseEnvelope } from '#src/envelope/parse-envelope.ts'
import { type Claims, type SealingRecipient, sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { findSuite, ML_KEM_SUITE } from '#src/envelope/suites.ts'
import { keyInfo, rootMessage, writeTranscript } from '#src/envelope/transcript.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { runStep } from '../step.ts'
import { type Ingredients, type RawOperations, rawNoble, rawOpenssl } from './envelope-primitives.ts'
import { type Measurement, measureAlone, measurePair } from './measure-pair.ts'
import { describeMachine } from './report.ts'

/** Of the plaintext. */
const SMALL_BYTES = 1024
const LARGE_BYTES = 1024 * 1024
const MIDDLE_BYTES = 64 * 1024

const NOW_S = 1_795_000_000
const claims: Claims = {
  op: 'proxy.outbound',
  sub: 'int_bench',
  rid: 'req_bench',
  rqh: 'h'.repeat(64),
  st: 200,
  seq: null,
  iat: NOW_S,
  exp: NOW_S + 300,
}

interface Parties {
  readonly kemSeed: Uint8Array
  readonly macKey: Uint8Array
  readonly sealing: SealingRecipient
  readonly reader: ReaderRecipient
  readonly issuer: IssuerKey
  readonly issuers: ReadonlyMap<string, IssuerKey>
  sign(sealed: ReturnType<typeof sealEnvelope>): Promise<HybridCryptoEnvelope>
}

function makeParties(provider: CryptoProvider): Parties {
  const suite = findSuite(ML_KEM_SUITE)
  const [kemSeed, macKey] = [provider.randomBytes(sizes.kemSeed), provider.randomBytes(sizes.macKey)]
  const signing = provider.signingKey(provider.randomBytes(sizes.dsaSeed))
  const [kem, verify] = [suite?.privateKey(provider, kemSeed), provider.verifyKey(signing.publicKey)]
  const publicKey = kem && suite?.publicKey(provider, kem.publicKey)
  if (!kem || !publicKey || !verify) throw new Error('no keys')
  const ids = { tenantId: 'ten_bench', recipientId: 'rcp_bench', kemKeyId: 'kem_bench', macKeyId: 'mac_bench' }
  const common = { ...ids, suite: ML_KEM_SUITE, mac: provider.macKey(macKey) }
  const keyId = 'sig_bench'
  const issuer: IssuerKey = { keyId, use: 'envelope-v2', state: 'active', notBefore: 1, notAfter: null, key: verify }
  return {
    kemSeed,
    macKey,
    sealing: { ...common, kem: publicKey },
    reader: { ...common, kem },
    issuer,
    issuers: new Map([[keyId, issuer]]),
    async sign(sealed) {
      const [signature] = await signLeaves(provider, { keyId, signing, verify }, [sealed])
      if (!signature) throw new Error('no signature')
      return sealed.complete(signature)
    },
  }
}

/** The inputs of the primitives, out of an envelope that was sealed. */
function ingredientsOf(provider: CryptoProvider, parties: Parties, envelope: HybridCryptoEnvelope): Ingredients {
  const parsed = parseEnvelope(JSON.parse(JSON.stringify(envelope)))
  if (!parsed) throw new Error('not an envelope')
  const { protectedBytes, ciphertextKem, ciphertextData } = parsed.parts
  const sharedSecret = parties.reader.kem.decapsulate(ciphertextKem)
  const keys = { sharedSecret, ciphertextKem, kemPublicKey: parties.sealing.kem.bytes, protectedBytes }
  const { leafInput, transcript } = writeTranscript(parsed.parts)
  const sealed = ciphertextData.slice(sizes.gcmNonce)
  return {
    kemSeed: parties.kemSeed,
    ek: parties.sealing.kem.bytes,
    ciphertextKem,
    macKey: parties.macKey,
    aesKey: deriveEnvelopeKeys(provider, keys).aesKey,
    nonce: ciphertextData.slice(0, sizes.gcmNonce),
    aad: protectedBytes,
    plaintext: new Uint8Array(sealed.length - sizes.gcmTag),
    sealed,
    info: keyInfo(protectedBytes),
    transcript,
    leafInput,
    issuerPublicKey: parties.issuer.key.bytes,
    rootMessage: rootMessage(1, provider.sha384(leafInput)),
    context: ENVELOPE_CONTEXT,
    signature: parsed.signature,
  }
}

interface Operations extends RawOperations {
  toBase64(): void
  toJson(): void
  fromJson(): void
  fromBase64(): void
}

/** Our functions over one envelope of a size, and the primitives beside them. */
async function operationsOf(
  provider: CryptoProvider,
  parties: Parties,
  bytes: number,
): Promise<{ ours: Operations; raw: RawOperations }> {
  const plaintext = utf8('x'.repeat(bytes))
  const seal = () => sealEnvelope(provider, parties.sealing, parties.issuer.keyId, claims, plaintext)
  const sealed = seal()
  const envelope = await parties.sign(sealed)
  const text = JSON.stringify(envelope)
  const received = parseStrictJson(text)
  const ingredients = ingredientsOf(provider, parties, envelope)
  const { signature, ...proof } = { signature: ingredients.signature.slice(), leafIndex: 0, treeSize: 1, hashes: [] }
  const expected = { op: claims.op, sub: claims.sub, rqh: claims.rqh, nowS: NOW_S }
  return {
    raw: provider.name === 'openssl' ? rawOpenssl(ingredients) : rawNoble(ingredients),
    ours: {
      seal: () => void seal(),
      verify: () => void verifyOrigin(provider, received, parties.issuers),
      open: () => void openEnvelope(provider, received, parties.reader, parties.issuers, expected),
      toBase64: () => void sealed.complete({ signature, ...proof }),
      toJson: () => void JSON.stringify(envelope),
      fromJson: () => void parseStrictJson(text),
      fromBase64: () => void parseEnvelope(received),
    },
  }
}

const compared = ['seal', 'verify', 'open'] as const
const encodings = ['toBase64', 'toJson', 'fromJson', 'fromBase64'] as const

interface ProviderFigures {
  readonly provider: string
  /** Microseconds per envelope of 1 KiB, ours beside the primitives. */
  readonly compared: Readonly<Record<(typeof compared)[number], Measurement>>
  readonly encodings: Readonly<Record<(typeof encodings)[number], number>>
  /** A byte at 1 MiB against a byte at 64 KiB. */
  readonly perByte: Readonly<Record<(typeof compared)[number], Measurement>>
}

async function measureProvider(provider: CryptoProvider): Promise<ProviderFigures> {
  const parties = makeParties(provider)
  const small = await operationsOf(provider, parties, SMALL_BYTES)
  const middle = await operationsOf(provider, parties, MIDDLE_BYTES)
  const large = await operationsOf(provider, parties, LARGE_BYTES)
  const each = <Name extends string, Value>(names: readonly Name[], measure: (name: Name) => Value) =>
    Object.fromEntries(names.map((name) => [name, measure(name)])) as Record<Name, Value>
  const times = LARGE_BYTES / MIDDLE_BYTES
  return {
    provider: provider.name,
    compared: each(compared, (name) => measurePair(small.ours[name], small.raw[name])),
    encodings: each(encodings, (name) => measureAlone(small.ours[name])),
    perByte: each(compared, (name) =>
      measurePair(large.ours[name], () => {
        for (let i = 0; i < times; i++) middle.ours[name]()
      }),
    ),
  }
}

const names: Readonly<Record<string, string>> = {
  seal: 'seal, without the signature',
  verify: 'verify',
  open: 'open',
  toBase64: 'write base64',
  toJson: 'write JSON',
  fromJson: 'parse JSON strictly',
  fromBase64: 'check form, read base64 and header',
}

const micros = (us: number) => `${us.toFixed(us < 10 ? 1 : 0)} µs`
const times = (ratio: number) => `${ratio.toFixed(2)} ×`

function render(figures: readonly ProviderFigures[]): string {
  const cells = (cell: (one: ProviderFigures) => string[]) => figures.flatMap(cell).join(' | ')
  const header = (words: string[]) => figures.flatMap(({ provider }) => words.map((word) => `${provider}${word}`))
  const rule = (count: number) => `|${' --- |'.repeat(count)}`
  return [
    `| ${SMALL_BYTES / 1024} KiB | ${header(['', ', its primitives', ', ratio']).join(' | ')} |`,
    rule(1 + 3 * figures.length),
    ...compared.map((name) => {
      const row = cells((one) => {
        const { ours, theirs, ratio } = one.compared[name]
        return [micros(ours), micros(theirs), times(ratio)]
      })
      return `| ${names[name]} | ${row} |`
    }),
    ...encodings.map((name) => `| ${names[name]} | ${cells((one) => [micros(one.encodings[name]), '', ''])} |`),
    '',
    `| a byte at 1 MiB against one at 64 KiB | ${figures.map(({ provider }) => provider).join(' | ')} |`,
    rule(1 + figures.length),
    ...compared.map((name) => `| ${names[name]} | ${cells((one) => [times(one.perByte[name].ratio)])} |`),
  ].join('\n')
}

/** What misses what was asked of it. */
function misses(figures: readonly ProviderFigures[]): string[] {
  const judge = (ratio: number, most: number, what: string) =>
    ratio <= most ? [] : [`${what}: ${times(ratio)}, at most ${most} × was asked`]
  return figures.flatMap((one) =>
    compared.flatMap((name) => [
      ...judge(one.compared[name].ratio, 1.5, `${one.provider}, ${names[name]}, against its primitives`),
      ...judge(one.perByte[name].ratio, 1.2, `${one.provider}, ${names[name]}, a byte at 1 MiB`),
    ]),
  )
}

/** Measures, and gives the results with the lines that stand in the README. */
export async function benchEnvelope(): Promise<{ results: object; text: string; remarks: string }> {
  const date = new Date().toISOString()
  const figures: ProviderFigures[] = []
  for (const provider of [opensslProvider, nobleProvider])
    figures.push(await runStep(`Envelopes with ${provider.name}`, () => measureProvider(provider)))
  const machine = describeMachine()
  const missed = misses(figures)
  return {
    results: { date, machine, figures },
    remarks: missed.length > 0 ? missed.join('\n') : 'Every ratio is within what was asked.',
    text: [
      'Processor time per envelope, ours and the primitives that it needs taking turns.',
      '',
      render(figures),
      '',
      `Measured ${date.slice(0, 10)} with \`npm run bench -- envelope\` on ${machine}.`,
    ].join('\n'),
  }
}
