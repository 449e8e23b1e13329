import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import express, { type Response, Router } from 'express'
import { pageHeaders } from './constant-headers.ts'
import { problems, statusesOf } from './problems.ts'

const DOCUMENT = fileURLToPath(new URL('../../openapi/openapi.json', import.meta.url))
const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png']

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sealwire API</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/docs/assets/favicon-32x32.png"><link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head>
<body><div id="reference"></div><script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
`

const START = `window.ui = SwaggerUIBundle({ url: '/docs/openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null, tryItOutEnabled: true, docExpansion: 'list' })\n`

/** What somebody who met an error does next. */
function errorPage(code: keyof typeof problems): string {
  const { title } = problems[code]
  const statuses = new Set([...statusesOf(code, 'vault'), ...statusesOf(code, 'other')])
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${code}</title></head>
<body><h1>${title}</h1><p><code>${code}</code>, HTTP ${[...statuses].join(' or ')}.</p><p>${nextSteps[code]}</p><p><a href="/docs">API reference</a></p></body></html>
`
}

const nextSteps: Readonly<Record<keyof typeof problems, string>> = {
  'request.invalid': 'The message names the member and the rule it breaks. Correct it and send the request again.',
  'request.too_large': 'A body has at most 1 MiB. Send less, or in several requests.',
  'request.unsupported_media': 'Send application/json in UTF-8, without Content-Encoding.',
  'request.timeout': 'The request did not arrive in time. Send it again.',
  'route.not_found': 'Compare method and path with the reference.',
  'route.method_not_allowed': 'The Allow header lists the methods of this path.',
  'auth.unauthenticated':
    'Send a valid API key in X-API-Key, or as Authorization: Bearer, but not both. The text is the same for every reason.',
  'auth.forbidden':
    'The message names the scope that this key lacks. Ask an admin of your tenant for a key that has it.',
  'operation.not_allowed':
    'Add the operation to allowed_operations of the integration: PATCH /api/v2/integrations/{id}.',
  'policy.denied':
    'The message names the rule and the reason. Topics are allowed by the policy of the integration, or without one by its config.topic and config.topics. Ask POST /api/v2/policies/simulate.',
  'policy.invalid':
    'The details list every problem with its place in the document; nothing was changed. POST /api/v2/policies/validate tells the same without storing anything.',
  'guard.refused': 'The details name the guard of the integration that refused the message; nothing was sent.',
  'destination.not_allowed':
    'The broker’s address is not one that this server may dial. Its operator can allow private networks with OUTBOUND_ALLOW.',
  'object.not_found': 'There is no such object in your tenant.',
  'object.in_use': 'The details list what uses it. Change or delete that first.',
  'idempotency.running':
    'The first request with this Idempotency-Key still runs. Ask again with the same key after Retry-After.',
  'idempotency.mismatch': 'This Idempotency-Key belongs to a different request. Use a new one.',
  'precondition.required': 'Read the object, and send its ETag in If-Match.',
  'precondition.failed': 'Somebody changed the object. Read it again, and send the new ETag.',
  'credential.expired': 'Rotate the vault entry: POST /api/v2/vault/rotate/{id}.',
  'custody.required':
    'Send the custody key that sealing the entry returned, as X-Vault-Custody-Key. If it is lost, rotate the entry to new values with X-Vault-Enable-MPC: true, which makes a new one.',
  'custody.rejected':
    'The custody key is not the one of this entry, or the stored record was changed; the text is the same for both. After ten wrong keys in a row a caller may try another one every 6 s.',
  'integration.invalid': 'The message names the member of the integration or of its credential that does not fit.',
  'integration.locked':
    'Nothing was sent. Its credential is in split custody: a holder of the custody key unlocks it with POST /api/v2/integrations/{id}/unlock, in every process that is to use it.',
  'quota.exceeded': 'The message names the limit. Delete what is not needed any more.',
  'rate.limited':
    'Nothing was done. Wait as Retry-After says. RateLimit-Policy holds the quotas of the API key and of its tenant in cost units a second, RateLimit what is left of them; the operator can give a tenant another one.',
  'server.busy':
    'Nothing was sent. The server has as many requests under way as it can answer in time, or your tenant has its share of them. Try again after Retry-After.',
  'broker.rejected':
    'The broker refused; the details hold its reason code. For bad credentials rotate the vault entry.',
  'broker.unreachable':
    'Nothing was sent. Check host, port and TLS with POST /api/v2/integrations/{id}/test, then try again.',
  'broker.busy': 'Nothing was sent. Try again after Retry-After, or raise limits.max_in_flight.',
  'signer.busy': 'Nothing was sent. Try again after Retry-After.',
  'vault.unavailable': 'Nothing was sent. Try again after Retry-After; the operator finds the reason in the log.',
  'kms.unavailable': 'Nothing was sent. Try again after Retry-After; the operator finds the reason in the log.',
  'database.unavailable': 'Nothing was sent. Try again after Retry-After; the operator finds the reason in the log.',
  'audit.unavailable': 'Nothing is done that cannot be recorded. Try again after Retry-After.',
  'outcome.unknown':
    'It may have been carried out, and nobody saw how it ended. Retry a publish with the same Idempotency-Key: it never sends a second message. GET /api/v2/proxy/messages/{id}, with the message_id of the details, tells what became of it; the broker may still say so. After a change, look at the object first.',
  'envelope.rejected': 'The envelope did not verify, or is not for this key. The text is the same for every reason.',
  'envelope.stale': 'The envelope is authentic, but too old or from the future. Compare the clocks.',
  'envelope.replay': 'The envelope is authentic, but was opened before.',
  'envelope.mismatch': 'The envelope is authentic, but answers another request.',
  'envelope.issuer_unknown': 'The signing key is not in the key document under the pinned root.',
  'envelope.not_ours':
    'The key of this recipient is held by the client. Open the envelope there, with the SDK or sealwire envelope open.',
  'recipient.required':
    'This API key enrolled before, and has no active recipient now. Enrol again: sealwire recipients enroll.',
  internal: 'This is our fault. Report it with the request id.',
}

/** The reference at `/docs`: bundled assets only, no request to another host. */
export function docsRoutes(): Router {
  const router = Router()
  const assets = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  const page = (type: string, text: () => string | Buffer) => (_req: unknown, res: Response) => {
    res.set(pageHeaders).set('cache-control', 'public, max-age=300').type(type).send(text())
  }
  let document: Buffer | undefined
  router.get(
    '/docs',
    page('html', () => PAGE),
  )
  router.get(
    '/docs/start.js',
    page('js', () => START),
  )
  router.get(
    '/docs/openapi.json',
    page('json', () => (document ??= readFileSync(DOCUMENT))),
  )
  for (const name of ASSETS) {
    router.use(
      `/docs/assets/${name}`,
      express.static(path.join(assets, name), {
        index: false,
        redirect: false,
        maxAge: 300_000,
        setHeaders: (res) => res.setHeaders(new Headers(pageHeaders)),
      }),
    )
  }
  for (const code of Object.keys(problems) as (keyof typeof problems)[])
    router.get(
      `/docs/errors/${code}`,
      page('html', () => errorPage(code)),
    )
  return router
}
