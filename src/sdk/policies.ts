import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { readPages } from './pages.ts'
import { besideDocument, createPolicyChecks, type PolicyDocument } from './policy-checks.ts'
import { fromWire } from './wire-names.ts'

export interface Policy {
  id: string
  name: string
  /** One more for each change; `If-Match` of a change is `"<version>"`. */
  version: number
  /** The revision that decides. */
  activeRevision: number
  latestRevision: number
  /** Of the active document. */
  rules: number
  /** Of the active document as JSON, hexadecimal. */
  sha256: string
  createdAt: string
  updatedAt: string
}

export interface PolicyInput {
  /** The document's id by default. */
  name?: string
  document: PolicyDocument
}

/** A new document, with `activate: false` as a draft; or a stored revision that is to decide again. */
export interface PolicyChanges {
  name?: string
  document?: PolicyDocument
  activate?: boolean
  activateRevision?: number
}

export interface PolicyRevision {
  revision: number
  /** Whether this one decides. */
  active: boolean
  rules: number
  sha256: string
  createdAt: string
  /** The API key that stored it. */
  createdBy: string
}

const PATH = '/api/v2/policies'
const pathOf = (id: string) => `${PATH}/${pathSegment(id)}`
const ifMatch = (version: number) => ({ 'If-Match': `"${version}"` })

/** What may be published and subscribed, by whom. Needs `policies:read`, changes `policies:write`. */
export function createPolicies(connection: Pick<Connection, 'call' | 'repeat' | 'send'>) {
  const { call } = connection
  return {
    /** Stores a document that decides at once; `policy.invalid` tells every problem in `details`. */
    async create({ name, document }: PolicyInput, options?: CallOptions): Promise<Policy> {
      const request = { method: 'POST', path: PATH, body: { name, document }, idempotent: true } as const
      return fromWire(await call(request, options)) as Policy
    },

    /** Reads all of them, page by page. */
    async list(options?: CallOptions): Promise<Policy[]> {
      return (await readPages(connection, PATH, options)) as Policy[]
    },

    /** With the document that decides. */
    async get(id: string, options?: CallOptions): Promise<Policy & { document: PolicyDocument }> {
      return besideDocument<Policy>(await call({ method: 'GET', path: pathOf(id) }, options))
    },

    /** Changes the version that the caller has seen; `precondition.failed` when there is a newer one. */
    async update(
      { id, version }: Pick<Policy, 'id' | 'version'>,
      { name, document, activate, activateRevision }: PolicyChanges,
      options?: CallOptions,
    ): Promise<Policy> {
      const request = {
        method: 'PATCH',
        path: pathOf(id),
        headers: ifMatch(version),
        body: { name, document, activate, activate_revision: activateRevision },
        idempotent: true,
      } as const
      return fromWire(await call(request, options)) as Policy
    },

    /** Deletes the version that the caller has seen; `object.in_use` names the integrations that need it. */
    async remove({ id, version }: Pick<Policy, 'id' | 'version'>, options?: CallOptions): Promise<void> {
      await call({ method: 'DELETE', path: pathOf(id), headers: ifMatch(version) }, options)
    },

    /** Reads all that are kept, newest first. */
    async revisions(id: string, options?: CallOptions): Promise<PolicyRevision[]> {
      return (await readPages(connection, `${pathOf(id)}/revisions`, options)) as PolicyRevision[]
    },

    /** With its document. */
    async revision(
      id: string,
      revision: number,
      options?: CallOptions,
    ): Promise<PolicyRevision & { document: PolicyDocument }> {
      const path = `${pathOf(id)}/revisions/${pathSegment(String(revision))}`
      return besideDocument<PolicyRevision>(await call({ method: 'GET', path }, options))
    },

    ...createPolicyChecks(connection),
  }
}
