/**
 * How a keyword of JSON Schema 2020-12 is taken. `here` holds schemas for the same value, `below` for its parts; `many`
 * is a list of them, `named` an object of them. `assertion` is judged by its value alone, `annotation` is left out.
 */
export type KeywordKind =
  | 'here'
  | 'here-many'
  | 'here-named'
  | 'below'
  | 'below-many'
  | 'below-named'
  | 'definitions'
  | 'reference'
  | 'assertion'
  | 'annotation'

const keywordsOf: Readonly<Record<KeywordKind, string>> = {
  here: 'if then else not',
  'here-many': 'allOf anyOf oneOf',
  'here-named': 'dependentSchemas',
  below: 'additionalProperties propertyNames unevaluatedProperties items contains unevaluatedItems',
  'below-many': 'prefixItems',
  'below-named': 'properties patternProperties',
  definitions: '$defs definitions',
  reference: '$ref',
  assertion: `type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern
    maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required dependentRequired format`,
  annotation: `title description default deprecated readOnly writeOnly examples $comment contentEncoding
    contentMediaType contentSchema $anchor`,
}

const kinds = new Map(
  (Object.entries(keywordsOf) as [KeywordKind, string][]).flatMap(([kind, names]) =>
    names.split(/\s+/).map((name) => [name, kind] as const),
  ),
)

/** Keywords that exist and are not taken, with what to do about it. */
const refused: Readonly<Record<string, string>> = {
  $dynamicRef: 'cannot be bounded: write $ref',
  $dynamicAnchor: 'cannot be bounded: write $anchor',
  $recursiveRef: 'belongs to an older draft: write $ref',
  $recursiveAnchor: 'belongs to an older draft: write $anchor',
  $id: 'stands at the root only',
  $schema: 'stands at the root only',
  $vocabulary: 'belongs to a meta-schema',
  $async: 'is not JSON Schema',
  id: 'belongs to an older draft: write $id',
  dependencies: 'belongs to an older draft: write dependentRequired or dependentSchemas',
  additionalItems: 'belongs to an older draft: write prefixItems and items',
  nullable: 'belongs to OpenAPI: write "null" into type',
}

export const schemaKeywords: readonly string[] = [...kinds.keys()]

export function keywordKind(keyword: string): KeywordKind | undefined {
  return kinds.get(keyword)
}

/** Why a known keyword is not taken; `undefined` for an unknown one. */
export function refusedKeyword(keyword: string): string | undefined {
  return Object.hasOwn(refused, keyword) ? refused[keyword] : undefined
}
