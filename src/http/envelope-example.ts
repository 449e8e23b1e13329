import type { z } from 'zod'
import { toBase64, toBase64Url } from '../core/base64.ts'
import { utf8 } from '../core/bytes.ts'
import { SIGNATURE_ALGORITHM } from '../envelope/envelope.ts'
import { ML_KEM_SUITE } from '../envelope/suites.ts'
import { type envelope, exampleId } from './schemas.ts'

const ids = { tid: exampleId('ten'), kem: exampleId('kem'), sig: exampleId('sig'), mac: exampleId('mac') }
const kept = { aud: exampleId('rcp'), op: 'stored.object', sub: null, rid: exampleId('req'), rqh: null }
const header = { v: 2, suite: ML_KEM_SUITE, ...ids, ...kept, st: null, seq: null, iat: 1_795_000_000, exp: null }

/** The form of an envelope; its bytes are zeros. */
export const exampleEnvelope: z.input<typeof envelope> = {
  version: 2,
  protected: toBase64Url(utf8(JSON.stringify(header))),
  encrypted: {
    algorithm: 'ML-KEM-768',
    tenant_id: ids.tid,
    key_id: ids.kem,
    ciphertext_kem: toBase64(new Uint8Array(1088)),
    ciphertext_data: toBase64(new Uint8Array(64)),
    key_commitment: toBase64(new Uint8Array(32)),
  },
  signature: {
    algorithm: SIGNATURE_ALGORITHM,
    tenant_id: ids.tid,
    key_id: ids.sig,
    mac_key_id: ids.mac,
    pqc_signature: toBase64(new Uint8Array(3309)),
    hmac_signature: toBase64(new Uint8Array(64)),
    inclusion_proof: { leaf_index: 0, tree_size: 1, hashes: [] },
  },
}
