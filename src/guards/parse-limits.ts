/** What a document may hold; everything beyond is a problem, so that reading and compiling it stay quick. */
export interface DocumentLimits {
  /** Entries of one list of topics, or of one `per-topic`. */
  readonly topics: number
  readonly customPatterns: number
  /** What all patterns together may cost to make, in looks at an instruction; about ten million a second. */
  readonly patternWork: number
  /** Characters of names and texts of a JSON schema, and bytes of the file it is read from. */
  readonly schemaSize: number
  readonly aclRules: number
}

/** For documents of tenants. */
export const integrationLimits: DocumentLimits = {
  topics: 256,
  customPatterns: 32,
  patternWork: 1_000_000,
  schemaSize: 65_536,
  aclRules: 0,
}

/** For the operator's file. */
export const gatewayLimits: DocumentLimits = {
  topics: 1_024,
  customPatterns: 64,
  patternWork: 20_000_000,
  schemaSize: 262_144,
  aclRules: 100_000,
}
