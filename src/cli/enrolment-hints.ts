import { SealwireError } from '../sdk/index.ts'
import type { Io } from './io.ts'

/** Says what to do where an API key may not give itself another recipient: whoever stole it must not be able to. */
export function hintAtManager(io: Io, err: unknown): void {
  if (!(err instanceof SealwireError) || err.code !== 'auth.forbidden' || err.details?.['scope'] !== 'keys:manage')
    return
  io.err('note: this API key had a recipient before; only a key with keys:manage gives itself another one')
  io.err('hint: with such a key, end the old one: sealwire recipients revoke rcp_…')
  io.err('hint: and make a key for this machine, which then enrols: sealwire api-keys create NAME --role editor')
}
