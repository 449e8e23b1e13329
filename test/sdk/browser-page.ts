import { createRecipient, Sealwire, SealwireError } from '#src/sdk/index.ts'

/** What the page is told, and what it reports. */
export interface PageInput {
  baseUrl: string
  rootFingerprint: string
  integrationId: string
}

export interface PageReport {
  outcome: string
  decrypted: boolean
  origin: string
  replay: string
  tampered: string
  bare: string
  redirected: string
  recipientId: string
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'it succeeded'
  } catch (err) {
    return err instanceof SealwireError ? `${err.code}, ${err.outcome}` : String(err)
  }
}

/** The whole way of a page: enrol, publish, open, verify; then answers that a page must not believe. */
async function runInPage({ baseUrl, rootFingerprint, integrationId }: PageInput): Promise<PageReport> {
  const options = { baseUrl, apiKey: 'qs_test_key', maxRetries: 0 }
  const keys = createRecipient()
  const recipient = await new Sealwire(options).recipients.enroll({ name: 'page', keys, rootFingerprint })
  const client = new Sealwire({ ...options, recipient })
  const { result, envelope } = await client.proxy.publish({ integrationId, topic: 'published', message: '22.5' })
  const { answer } = await client.encryption.decrypt(envelope)
  const auditor = new Sealwire({ baseUrl, rootFingerprint })
  const tampered = { ...envelope, signature: { ...envelope.signature, hmac_signature: 'AAAA' } }
  return {
    outcome: result.outcome,
    decrypted: answer.success,
    origin: (await auditor.encryption.verifyOrigin(envelope)).aud,
    replay: await codeOf(client.encryption.decrypt(envelope)),
    tampered: await codeOf(client.encryption.decrypt(tampered)),
    bare: await codeOf(client.proxy.publish({ integrationId, topic: 'bare', message: 'x' })),
    redirected: await codeOf(client.proxy.publish({ integrationId, topic: 'redirected', message: 'x' })),
    recipientId: recipient.recipientId,
  }
}

Object.assign(globalThis, { runInPage })
