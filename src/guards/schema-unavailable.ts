/** Says in words for the operator why a schema cannot be had. */
export class SchemaUnavailable extends Error {
  override readonly name = 'SchemaUnavailable'
}
