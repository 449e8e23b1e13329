import { createHmac } from 'node:crypto'

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A JWT, signed by somebody who gets the bytes that RFC 7515 §5.1 has signed. */
export function tokenOf(alg: string, claims: object, signWith: (input: Buffer) => Uint8Array): string {
  const input = `${encode({ alg, typ: 'JWT' })}.${encode(claims)}`
  return `${input}.${Buffer.from(signWith(Buffer.from(input))).toString('base64url')}`
}

export function hmacToken(secret: Uint8Array, claims: object): string {
  return tokenOf('HS256', claims, (input) => createHmac('sha256', secret).update(input).digest())
}
