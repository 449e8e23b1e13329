import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { EnvelopeVectors } from './make-envelope-vectors.ts'
import type { RefusedVectors } from './make-refused-vectors.ts'
import type { Version1Vectors } from './make-version-1-vectors.ts'

/** The page whose generated parts show the frozen vectors. */
export const pageUrl = new URL('../../openapi/envelope.md', import.meta.url)

/** Bytes that are shown in full. */
const SHOWN_BYTES = 160
const LINE = 96

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'))

function wrapped(hex: string): string {
  return (hex.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? ['(empty)']).join('\n  ')
}

/** One value: in full when short, else its length and digest. */
function show(name: string, hex: string): string {
  const bytes = hex.length / 2
  if (bytes <= SHOWN_BYTES) return `${name} (${bytes})\n  ${wrapped(hex)}`
  return `${name} (${bytes}), SHA-256\n  ${createHash('sha256').update(hex, 'hex').digest('hex')}`
}

function block(values: readonly (readonly [string, string])[]): string {
  return ['```', ...values.map(([name, hex]) => show(name, hex)), '```'].join('\n')
}

/** The members of `value` that are hexadecimal text, in their order. */
function hexMembers(value: object, names: readonly string[]): (readonly [string, string])[] {
  const members = value as Record<string, string | undefined>
  return names.flatMap((name) => (members[name] === undefined ? [] : [[name, members[name]] as const]))
}

const STEPS = [
  'encapsulation_m',
  'encapsulation_seed',
  'ml_kem_shared_secret',
  'x25519_shared_secret',
  'combiner_input',
  'ciphertext_kem',
  'shared_secret',
  'salt',
  'info',
  'okm',
  'aes_key',
  'key_commitment',
  'nonce',
  'plaintext',
  'ciphertext_data',
  'transcript',
  'leaf',
  'hmac',
]

type Batch = EnvelopeVectors['batches'][number]

function renderBatch(batch: Batch): string {
  const signed = hexMembers(batch, ['root', 'root_message', 'pqc_signature'])
  if (batch.tree_size === 1) {
    const [one] = batch.envelopes
    if (!one) throw new Error('An empty tree')
    const header = ['Header:', '', '```json', one.header, '```']
    return ['**Tree of 1.**', '', ...header, '', block([...hexMembers(one, STEPS), ...signed])].join('\n')
  }
  const leaves = batch.envelopes.flatMap(({ leaf, hashes }, index) => [
    [`leaf ${index}`, leaf] as const,
    ...hashes.map((hash, i) => [`leaf ${index}, hashes[${i}]`, hash] as const),
  ])
  return [`**Tree of ${batch.tree_size}.**`, '', block([...leaves, ...signed])].join('\n')
}

function renderSuite(file: string): string {
  const vectors = read(file) as EnvelopeVectors & { expanded_seed?: string }
  const { recipient, issuer, request, enrolment } = vectors
  const keys = [
    ...hexMembers(recipient, ['kem_seed']),
    ...hexMembers(vectors, ['expanded_seed']),
    ...hexMembers(recipient, ['ek', 'mac_key']),
    ...hexMembers({ 'issuer seed': issuer.seed, 'issuer public key': issuer.pub }, [
      'issuer seed',
      'issuer public key',
    ]),
    ['request nonce', request.nonce] as const,
    ['enrolment proof', enrolment.proof] as const,
  ]
  const ids = `Tenant \`${recipient.tenant_id}\`, recipient \`${recipient.recipient_id}\`, keys \`${recipient.kem_key_id}\`, \`${recipient.mac_key_id}\`, \`${issuer.key_id}\`.`
  const asked = `Request: \`${request.method} ${request.target}\` with the body \`${request.body}\`; \`rqh\` is \`${request.rqh}\`.`
  return [ids, asked, block(keys), ...vectors.batches.map(renderBatch)].join('\n\n')
}

const VERSION_1_STEPS = STEPS.filter((name) => name !== 'hmac').concat('pqc_signature', 'hmac')

function renderVersion1(): string {
  const { tenant, kdf, envelopes } = read('envelope-v1.json') as Version1Vectors
  const answers = kdf.flatMap((one) => hexMembers(one, ['ikm', 'aes_key']))
  const keys = hexMembers(tenant, ['kem_seed', 'ek', 'signing_seed', 'pub', 'tenant_secret', 'mac_key'])
  return [
    'Key derivation:',
    block(answers),
    `Tenant \`${tenant.tenant_id}\`, as UUID \`${tenant.tenant_uuid}\`:`,
    block(keys),
    ...envelopes.flatMap((one, i) => {
      const text = Buffer.from(one.plaintext, 'hex').toString()
      const shown = text === '' ? `Envelope ${i}, of nothing:` : `Envelope ${i}:\n\n\`\`\`json\n${text}\n\`\`\``
      return [shown, block(hexMembers(one, VERSION_1_STEPS))]
    }),
  ].join('\n\n')
}

function renderCases(): string {
  const { suites } = read('envelope-v2-cases.json') as RefusedVectors
  const rows = suites.flatMap(({ vectors, refused, opens }) => [
    '',
    `Of \`${vectors}\`:`,
    '',
    '| case | error |',
    '| --- | --- |',
    ...refused.map(({ why, error }) => `| ${why} | \`${error}\` |`),
    ...opens.map(({ why }) => `| ${why} | opens |`),
  ])
  return rows.slice(1).join('\n')
}

const parts: ReadonlyMap<string, () => string> = new Map([
  ['ml-kem-768', () => renderSuite('envelope-v2.json')],
  ['x-wing', () => renderSuite('envelope-v2-x-wing.json')],
  ['version-1', renderVersion1],
  ['cases', renderCases],
])

/**
 * Writes the generated parts of the page anew from the vector files.
 *
 * @throws when a part has no place in the page, or the page has a place for no part
 */
export function renderPage(page: string): string {
  const seen = new Set<string>()
  const rendered = page.replace(/<!-- vectors: (\S+) -->\n[\s\S]*?<!-- end of vectors -->/g, (_match, name: string) => {
    const render = parts.get(name)
    if (!render) throw new Error(`No vectors are called ${name}`)
    seen.add(name)
    return `<!-- vectors: ${name} -->\n\n${render()}\n\n<!-- end of vectors -->`
  })
  for (const name of parts.keys()) if (!seen.has(name)) throw new Error(`The page has no place for ${name}`)
  return rendered
}
