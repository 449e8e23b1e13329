import { z } from 'zod'
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
} from 'zod-openapi'
import type { ErrorCode } from '../core/errors.ts'
import { costUnits, MESSAGES_PER_UNIT, UNPRICED_UNITS, WAITING_UNITS } from './limits/cost-units.ts'
import { headerComponents, headerParameters, refusalHeaders, successHeaders } from './openapi-headers.ts'
import type { Operation } from './operation.ts'
import { operations } from './operations.ts'
import { problems, statusesOf } from './problems.ts'
import { API_VERSION } from './render.ts'
import { envelope, envelopeVersion1, exampleId, requestId, timestamp } from './schemas.ts'

/** Codes that every authenticated route may answer. */
const everywhere: readonly ErrorCode[] = [
  'request.invalid',
  'request.too_large',
  'request.unsupported_media',
  'auth.unauthenticated',
  'auth.forbidden',
  'rate.limited',
  'server.busy',
  'database.unavailable',
  'audit.unavailable',
  'internal',
]
const withIdempotencyKey: readonly ErrorCode[] = ['idempotency.running', 'idempotency.mismatch']

const codes = Object.keys(problems) as [ErrorCode, ...ErrorCode[]]

const meta = z
  .strictObject({
    request_id: requestId,
    timestamp,
    version: z.literal(API_VERSION),
    next_cursor: z.string().optional(),
    not_understood: z.array(z.string()).optional().meta({
      description: 'Ids that belong on this page, of what is stored and not understood by this version',
    }),
  })
  .meta({ id: 'Meta' })

const error = z
  .strictObject({
    code: z.enum(codes).meta({ id: 'ErrorCode' }),
    message: z.string(),
    details: z.record(z.string(), z.json()).nullable(),
    type: z.string().meta({ description: 'A page about this code' }),
    title: z.string(),
    status: z.int(),
  })
  .meta({ id: 'Error' })

const problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.enum(codes),
    details: z.record(z.string(), z.json()).nullable(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457, for callers that accept application/problem+json' })

/** Name of the component that says what an enveloped success holds once it is opened. */
const plaintextName = ({ id }: Operation) => `${id}.Plaintext`
const plaintext = ({ data }: Operation) => z.strictObject({ success: z.literal(true), data, error: z.null() })

const success = (data: z.ZodType) => z.strictObject({ success: z.literal(true), data, error: z.null(), meta })
const failure = z.strictObject({ success: z.literal(false), data: z.null(), error, meta }).meta({ id: 'Failure' })
const sealedFailure = z
  .strictObject({ success: z.literal(false), data: z.union([z.null(), envelope]), error, meta })
  .meta({
    id: 'SealedFailure',
    description:
      'For callers with a recipient of their own the refusal is sealed too: believe the envelope, not the members beside it. An answer without one, as a server gives in the place of an operation that hangs, proves nothing: take the outcome for unknown.',
  })

const exampleMeta = {
  request_id: exampleId('req'),
  timestamp: '2026-11-21T09:00:00.000Z',
  version: API_VERSION,
} as const

function errorsByStatus(operation: Operation): Map<number, ErrorCode[]> {
  const all = [...everywhere, ...operation.errors, ...(operation.idempotent ? withIdempotencyKey : [])]
  const route = operation.path.startsWith('/api/v2/vault') ? 'vault' : 'other'
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of new Set(all)) {
    for (const status of statusesOf(code, route)) byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return byStatus
}

function successResponse(operation: Operation): ZodOpenApiResponseObject {
  const headers = successHeaders(operation)
  const sealed = {
    headers,
    description: 'Sealed to the calling key; its plaintext is described by `x-plaintext`.',
    content: { 'application/json': { schema: success(z.union([envelope, envelopeVersion1])) } },
  }
  if (operation.enveloped) return sealed
  const example = { success: true, data: operation.example.data, error: null, meta: exampleMeta }
  return {
    description: operation.summary,
    headers,
    content: { 'application/json': { schema: success(operation.data), example } },
  }
}

function costOf({ id }: Operation): string {
  const cost = `Cost: ${costUnits[id] ?? UNPRICED_UNITS}`
  if (id !== 'proxy.outbound') return `${cost}.`
  return `${cost}; a batch one more for every ${MESSAGES_PER_UNIT} messages; ${WAITING_UNITS} for what waits for messages.`
}

function describeOperation(operation: Operation): ZodOpenApiOperationObject {
  const responses: ZodOpenApiOperationObject['responses'] = {}
  for (const status of operation.statuses) responses[`${status}` as '200'] = successResponse(operation)
  for (const [status, statusCodes] of errorsByStatus(operation)) {
    const schema = operation.enveloped ? sealedFailure : failure
    responses[`${status}` as '400'] = {
      description: statusCodes.join(', '),
      headers: refusalHeaders(status, statusCodes),
      content: { 'application/json': { schema }, 'application/problem+json': { schema: problem } },
    }
  }
  return {
    operationId: operation.id,
    tags: [operation.path.split('/')[3] ?? 'other'],
    summary: operation.summary,
    description: [operation.description, `Scope: ${operation.scopes.join(' or ')}.`, costOf(operation)]
      .filter(Boolean)
      .join('\n\n'),
    security: [{ apiKey: [] }, { bearer: [] }],
    parameters: headerParameters(operation),
    requestParams: {
      ...(operation.params && { path: operation.params }),
      ...(operation.query && { query: operation.query }),
    },
    ...(operation.body
      ? {
          requestBody: {
            content: {
              'application/json': {
                schema: operation.body,
                ...(operation.example.body === undefined ? {} : { example: operation.example.body }),
              },
            },
          },
        }
      : {}),
    responses,
    ...(operation.enveloped
      ? {
          'x-plaintext': {
            schema: { $ref: `#/components/schemas/${plaintextName(operation)}` },
            example: { success: true, data: operation.example.data, error: null },
          },
        }
      : {}),
  }
}

const checks = z
  .strictObject({ database: z.boolean(), kms: z.boolean(), signer: z.boolean(), audit: z.boolean() })
  .meta({ id: 'Checks' })
const raw = (description: string, schema: z.ZodType) => ({ description, content: { 'application/json': { schema } } })
const readiness = z.strictObject({ status: z.enum(['ready', 'not ready']), checks }).meta({ id: 'Readiness' })

const publicPaths: ZodOpenApiPathsObject = {
  '/health': {
    get: {
      operationId: 'health',
      tags: ['health'],
      summary: 'What this process runs on',
      security: [],
      responses: {
        200: raw(
          'The process is up',
          z.strictObject({
            status: z.enum(['healthy', 'degraded']),
            checks,
            kms: z.string(),
            crypto: z.enum(['openssl', 'noble']),
          }),
        ),
      },
    },
  },
  '/health/ready': {
    get: {
      operationId: 'health.ready',
      tags: ['health'],
      summary: 'Whether an answer could be made right now',
      security: [],
      responses: {
        200: raw('Ready', readiness),
        503: { ...raw('Not ready', readiness), headers: refusalHeaders(503, []) },
      },
    },
  },
  '/.well-known/sealwire-keys': {
    get: {
      operationId: 'keys.document',
      tags: ['keys'],
      summary: 'Keys that verify answers, signed by the root key',
      security: [],
      responses: {
        200: raw(
          'Believe `signed` only, and only under the root that you pinned',
          z
            .strictObject({
              keys: z.array(
                z.strictObject({
                  kty: z.literal('AKP'),
                  alg: z.literal('ML-DSA-65'),
                  kid: z.string(),
                  pub: z.string(),
                }),
              ),
              root_pub: z.string(),
              signed: z.string(),
              signature: z.string(),
            })
            .meta({ id: 'KeyDocument' }),
        ),
      },
    },
  },
}

/** Makes the OpenAPI 3.1 document from the same descriptors that the server runs. */
export function createOpenApiDocument(version: string): ReturnType<typeof createDocument> {
  const paths: ZodOpenApiPathsObject = {}
  const enveloped = operations.filter((operation) => operation.enveloped)
  for (const operation of operations) {
    const path = operation.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [operation.method]: describeOperation(operation) }
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Sealwire',
      version,
      description:
        'Publish to and subscribe from MQTT brokers over one REST call, without holding their credentials. Answers of `/api/v2/proxy` are envelopes that only the caller can open and anyone can attribute.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: { ...paths, ...publicPaths },
    components: {
      schemas: Object.fromEntries(enveloped.map((operation) => [plaintextName(operation), plaintext(operation)])),
      headers: headerComponents,
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  })
}
