import { SealwireError } from './sealwire-error.ts'

function refuse(why: string): never {
  throw new SealwireError('request.invalid', `Base URL: ${why}.`, { outcome: 'rejected' })
}

/**
 * Judges a base URL such as `https://sealwire.example` or `https://host/prefix` and returns it without a slash at the end.
 *
 * @throws {SealwireError} `request.invalid`
 */
export function parseBaseUrl(text: string): string {
  if (!URL.canParse(text)) refuse('not a URL')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse('needs https:// or http://')
  if (url.username !== '' || url.password !== '') refuse('holds a user name or password')
  if (url.search !== '' || url.hash !== '') refuse('holds a query or a fragment')
  if (url.pathname.includes('/api/v2')) refuse('ends before /api/v2')
  return url.origin + url.pathname.replace(/\/+$/, '')
}

/** Reports whether nobody on the way can answer in place of the server: TLS, or this machine. */
export function isPrivateWay(baseUrl: string): boolean {
  const { protocol, hostname } = new URL(baseUrl)
  return (
    protocol === 'https:' || hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  )
}
