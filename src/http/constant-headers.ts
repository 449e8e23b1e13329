import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'

/** What helmet would set on a request without a page: computed once, because doing it for each request costs an eighth of it. */
function helmetHeaders(options: Parameters<typeof helmet>[0]): Readonly<Record<string, string>> {
  const res = new ServerResponse(new IncomingMessage(new Socket()))
  helmet(options)(new IncomingMessage(new Socket()), res, () => {})
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(res.getHeaders())) headers[name] = String(value)
  return headers
}

/** Security headers of every API answer. Nothing may load, frame or sniff a JSON answer. */
export const apiHeaders: Readonly<Record<string, string>> = {
  ...helmetHeaders({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    referrerPolicy: { policy: 'no-referrer' },
  }),
  'cache-control': 'no-store',
}

/** Security headers of the reference page: its own assets and nothing else; the viewer sets inline styles. */
export const pageHeaders: Readonly<Record<string, string>> = helmetHeaders({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      fontSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  referrerPolicy: { policy: 'no-referrer' },
})
