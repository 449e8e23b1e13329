import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { Secret } from '../core/secret.ts'
import { createHookListener, HOOKS_PREFIX } from './broker-hooks.ts'
import { allowOrigins } from './cors.ts'
import { docsRoutes } from './docs.ts'
import { createOperationHandler } from './handle-operation.ts'
import type { InFlight } from './in-flight.ts'
import { metricsRoute } from './metrics-route.ts'
import { operations } from './operations.ts'
import { presentedKey } from './presented-key.ts'
import { publicRoutes } from './public-routes.ts'
import { causeOf, sendError, toAppError } from './render.ts'
import type { Services } from './services.ts'

export interface HttpOptions {
  /** Addresses of proxies whose `X-Forwarded-For` is believed; none by default. */
  trustProxy: readonly string[]
  corsOrigins: readonly string[]
  metricsToken: Secret<string> | undefined
}

/** Puts every operation behind one Express app. Nothing here decides: it parses, calls and renders. */
export function createHttpApp(services: Services, options: HttpOptions, inFlight: InFlight): RequestListener {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.set('trust proxy', options.trustProxy.length > 0 ? [...options.trustProxy] : false)
  app.enable('strict routing')
  app.enable('case sensitive routing')
  if (options.corsOrigins.length > 0) app.use(allowOrigins(options.corsOrigins))

  const methods = new Map<string, Set<string>>()
  for (const operation of operations) {
    app[operation.method](operation.path, createOperationHandler(operation, services, inFlight))
    methods.set(operation.path, (methods.get(operation.path) ?? new Set()).add(operation.method.toUpperCase()))
  }
  app.use(publicRoutes(services, inFlight))
  app.use(metricsRoute(services, options))
  app.use(docsRoutes())

  const refuse = (req: Request, res: Response, err: AppError, requestId = newId('req', services.clock.now())) => {
    sendError(req, res, requestId, services.clock.now(), err)
  }
  for (const [path, allowed] of methods) {
    const list = [...allowed].join(', ')
    app.all(path, (req, res) => {
      res.setHeader('allow', list)
      refuse(req, res, new AppError('route.method_not_allowed', `This path takes ${list}.`))
    })
  }
  app.use((req, res) =>
    refuse(req, res, new AppError('route.not_found', 'There is no such route; the reference is at /docs.')),
  )
  app.use((err: unknown, req: Request, res: Response, _next: NextFunction) => {
    // Express and its static files throw here: a path that does not decode, a precondition, a range.
    const { status } = err as { status?: unknown }
    if (err instanceof URIError || (typeof status === 'number' && status >= 400 && status < 500)) {
      refuse(req, res, new AppError('request.invalid', 'The path or a header is not well formed.'))
      return
    }
    const requestId = newId('req', services.clock.now())
    services.log.error({ request_id: requestId, cause: causeOf(err) }, 'unexpected failure')
    refuse(req, res, toAppError(err, requestId), requestId)
  })
  const answerBroker = services.brokerHooks && createHookListener(services.brokerHooks, inFlight)
  return (req, res) => {
    if (answerBroker && req.url?.startsWith(HOOKS_PREFIX)) answerBroker(req, res)
    else if (!refuseAgain(services, req, res)) app(req, res)
  }
}

/** Answers a key that has used up its quota in this window, before anything else is found out. */
function refuseAgain({ limits, clock }: Services, req: IncomingMessage, res: ServerResponse): boolean {
  if (!limits.refusesSome) return false
  const isApi = req.url?.startsWith('/api/') === true && req.headers.origin === undefined // a page needs what CORS adds
  const presented = isApi ? presentedKey(req) : undefined
  const refusal = presented === undefined ? undefined : limits.refuseAgain(presented)
  if (!refusal) return false
  sendError(req, res, newId('req', clock.now()), clock.now(), refusal)
  return true
}
