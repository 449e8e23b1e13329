import { makeCollisionVectors } from './make-collision-vectors.ts'
import { makeEnvelopeVectors } from './make-envelope-vectors.ts'
import { makeKeyDocumentVectors } from './make-key-document-vectors.ts'

/** The frozen files of the envelope and what makes them. A change of these bytes is a change of the format. */
export const vectorFiles: readonly { readonly name: string; readonly make: () => object }[] = [
  { name: 'envelope-v2.json', make: makeEnvelopeVectors },
  { name: 'key-document.json', make: makeKeyDocumentVectors },
  { name: 'gcm-collision.json', make: makeCollisionVectors },
]

export function urlOf(name: string): URL {
  return new URL(name, import.meta.url)
}

export function toText(vectors: object): string {
  return `${JSON.stringify(vectors, null, 1)}\n`
}
