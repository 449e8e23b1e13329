import type { Secret } from '../../core/secret.ts'
import type { BodyTemplate } from './settings.ts'
import { type Facts, fillTemplate, type Template } from './template.ts'

/** Everything of a request that depends on the client, ready to be sent. */
export interface Rendered {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export interface RequestTemplate {
  readonly url: string
  readonly query: Readonly<Record<string, Template>>
  /** With secrets of ours, which are sent as they are. */
  readonly headers: readonly (readonly [name: string, value: Template | Secret<string>])[]
  readonly form?: Readonly<Record<string, Template>>
  readonly body?: BodyTemplate
}

/** A header has no escape: what is not visible ASCII with single blanks inside could be read as something else. */
const HEADER_VALUE = /^[\x21-\x7e]+( [\x21-\x7e]+)*$/

/**
 * Percent-encodes all but the unreserved characters, which is right both in a query and in a form.
 *
 * @see RFC 3986 §2.3; WHATWG URL §5.2
 */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function renderPairs(pairs: Readonly<Record<string, Template>>, facts: Facts): string {
  const filled = Object.entries(pairs).map(([name, template]) => [name, fillTemplate(template, facts)] as const)
  return filled
    .filter((pair): pair is readonly [string, string] => pair[1] !== undefined)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&')
}

/** Builds the value, so that only `JSON.stringify` writes quotes; a member or an item whose fact is absent is `null`. */
function renderValue(body: BodyTemplate, facts: Facts): unknown {
  switch (body.kind) {
    case 'text':
      return fillTemplate(body.template, facts) ?? null
    case 'constant':
      return body.value
    case 'list':
      return body.items.map((item) => renderValue(item, facts))
    case 'object':
      return Object.fromEntries(body.members.map(([name, value]) => [name, renderValue(value, facts)]))
  }
}

function bodyOf({ form, body }: RequestTemplate, facts: Facts): { type: string; text: string } | undefined {
  if (body) return { type: 'application/json', text: JSON.stringify(renderValue(body, facts)) }
  return form && { type: 'application/x-www-form-urlencoded', text: renderPairs(form, facts) }
}

/**
 * Makes the request of one client. Facts are well-formed text and those that are not optional are there; whatever they hold,
 * they end up as values of the members that name them.
 *
 * @returns the request, or the name of a header that could not carry its value
 */
export function renderRequest(request: RequestTemplate, facts: Facts): Rendered | { readonly unfit: string } {
  const headers: Record<string, string> = { accept: 'application/json' }
  for (const [name, value] of request.headers) {
    const text = Array.isArray(value) ? fillTemplate(value as Template, facts) : (value as Secret<string>).reveal()
    if (text === undefined) continue
    if (text.length > 8_192 || !HEADER_VALUE.test(text)) return { unfit: name }
    headers[name.toLowerCase()] = text
  }
  const query = renderPairs(request.query, facts)
  const url = query === '' ? request.url : `${request.url}${request.url.includes('?') ? '&' : '?'}${query}`
  const body = bodyOf(request, facts)
  if (!body) return { url, headers }
  return { url, headers: { ...headers, 'content-type': body.type }, body: new TextEncoder().encode(body.text) }
}
