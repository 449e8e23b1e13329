import type { FormatName } from 'ajv-formats'
import ajvFormats from 'ajv-formats'

/** Formats of JSON Schema 2020-12 that can be asserted, in time linear in the text. */
export const formatNames = [
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'json-pointer',
  'relative-json-pointer',
  'uri',
  'uri-reference',
  'uri-template',
  'uuid',
] as const satisfies readonly FormatName[]

/** Longest text that is of any format; a longer one is none, whatever it holds. */
const MAX_LENGTH = 8_192

/** Makes the test of a format. */
export function formatTest(name: FormatName): (text: string) => boolean {
  const format = ajvFormats.default.get(name)
  const validate = typeof format === 'object' && 'validate' in format ? format.validate : format
  if (validate instanceof RegExp) return (text) => text.length <= MAX_LENGTH && validate.test(text)
  if (typeof validate !== 'function') throw new TypeError(`the format ${name} has no test`)
  const test = validate as (text: string) => unknown
  return (text) => text.length <= MAX_LENGTH && test(text) === true
}
