import { makeCollisionVectors } from './make-collision-vectors.ts'
import { makeEnvelopeVectors, makeXWingEnvelopeVectors } from './make-envelope-vectors.ts'
import { makeKeyDocumentVectors } from './make-key-document-vectors.ts'
import { makeRefusedVectors } from './make-refused-vectors.ts'
import { makeVersion1Vectors } from './make-version-1-vectors.ts'

/** The frozen files of the envelope and what makes them. A change of these bytes is a change of the format. */
export const vectorFiles: readonly { readonly name: string; readonly make: () => object }[] = [
  { name: 'envelope-v2.json', make: makeEnvelopeVectors },
  { name: 'envelope-v2-x-wing.json', make: makeXWingEnvelopeVectors },
  { name: 'envelope-v1.json', make: makeVersion1Vectors },
  {
    name: 'envelope-v2-cases.json',
    make: () => makeRefusedVectors({ mlKem: makeEnvelopeVectors(), xWing: makeXWingEnvelopeVectors() }),
  },
  { name: 'key-document.json', make: makeKeyDocumentVectors },
  { name: 'gcm-collision.json', make: makeCollisionVectors },
]

export function urlOf(name: string): URL {
  return new URL(name, import.meta.url)
}

export function toText(vectors: object): string {
  return `${JSON.stringify(vectors, null, 1)}\n`
}
