import { Secret } from '../core/secret.ts'
import { nobleProvider } from '../crypto/noble.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { createApiKeys } from './api-keys.ts'
import { parseBaseUrl } from './base-url.ts'
import { type CallClock, systemCallClock } from './call-clock.ts'
import { createBlockedClients, createUnauthorisedClients } from './clients.ts'
import { createConnection } from './connection.ts'
import { createDataEncryption } from './data-encryption.ts'
import { createEncryption } from './encryption.ts'
import { createIntegrations } from './integrations.ts'
import { createIssuerKeys } from './issuer-keys.ts'
import { createKeys } from './keys.ts'
import { createPolicies } from './policies.ts'
import { createProxy } from './proxy.ts'
import type { Quota } from './rate-limit.ts'
import { createReaders } from './readers.ts'
import type { Recipient } from './recipient.ts'
import { createRecipients } from './recipients.ts'
import { SealwireError } from './sealwire-error.ts'
import { createVault } from './vault.ts'

/** The server may take 30 s to learn what became of a message, and then has to say so. */
const DEFAULT_TIMEOUT_MS = 35_000
const DEFAULT_RETRIES = 2

export interface SealwireOptions {
  /** For example `https://sealwire.example`; a path prefix is kept. */
  baseUrl: string
  /** Needed by every call but `encryption.decrypt` and `encryption.verifyOrigin`. */
  apiKey?: string
  /** From `recipients.enroll`, or from its file with `parseRecipient`. Needed by `proxy` and `encryption.decrypt`. */
  recipient?: Recipient
  /** Pins the root for `encryption.verifyOrigin` where there is no recipient, which has one of its own. */
  rootFingerprint?: string
  fetch?: typeof globalThis.fetch
  /** Cryptography; `@noble` by default, which runs everywhere. */
  provider?: CryptoProvider
  clock?: CallClock
  /** For each call, repetitions included; 35,000 by default. */
  timeoutMs?: number
  /** Attempts after the first one; 2 by default. */
  maxRetries?: number
}

/** A key that cannot stand in a header would fail with a message that shows it. */
function parseApiKey(apiKey: string): Secret<string> {
  if (/^[\x21-\x7e]{1,512}$/.test(apiKey)) return new Secret(apiKey)
  throw new SealwireError('request.invalid', 'API key: not 1 to 512 printable ASCII characters.', {
    outcome: 'rejected',
  })
}

/**
 * A client of one Sealwire server.
 *
 * With a recipient, what a proxy call returns or throws comes from a verified envelope alone. An answer without one is
 * reported as `unprotected` with outcome `unknown`, whatever its status; it may cause waiting and another attempt with the
 * same idempotency key, nothing else. No redirect is followed.
 */
export class Sealwire {
  readonly vault: ReturnType<typeof createVault>
  readonly integrations: ReturnType<typeof createIntegrations>
  readonly keys: ReturnType<typeof createKeys>
  readonly policies: ReturnType<typeof createPolicies>
  readonly blockedClients: ReturnType<typeof createBlockedClients>
  readonly unauthorisedClients: ReturnType<typeof createUnauthorisedClients>
  readonly proxy: ReturnType<typeof createProxy>
  readonly recipients: ReturnType<typeof createRecipients>
  readonly apiKeys: ReturnType<typeof createApiKeys>
  readonly encryption: ReturnType<typeof createEncryption> & ReturnType<typeof createDataEncryption>
  readonly #connection: ReturnType<typeof createConnection>

  /** @throws {SealwireError} `request.invalid` for a base URL or an API key that is none */
  constructor(options: SealwireOptions) {
    const { recipient, provider = nobleProvider, clock = systemCallClock, maxRetries = DEFAULT_RETRIES } = options
    const connection = createConnection({
      baseUrl: parseBaseUrl(options.baseUrl),
      apiKey: options.apiKey === undefined ? undefined : parseApiKey(options.apiKey),
      fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
      clock,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxRetries,
    })
    const root = recipient?.root ?? options.rootFingerprint
    const issuers = root === undefined ? undefined : createIssuerKeys(connection, provider, root)
    const reader = recipient && issuers && { provider, readers: createReaders(provider, clock, recipient), issuers }

    this.#connection = connection
    this.vault = createVault(connection)
    this.integrations = createIntegrations(connection)
    this.keys = createKeys(connection)
    this.policies = createPolicies(connection)
    this.blockedClients = createBlockedClients(connection)
    this.unauthorisedClients = createUnauthorisedClients(connection)
    this.proxy = createProxy(connection, reader)
    this.recipients = createRecipients(connection, provider, reader)
    this.apiKeys = createApiKeys(connection)
    const opening = createEncryption({ provider, clock, reader, issuers, maxRetries })
    this.encryption = { ...opening, ...createDataEncryption(connection) }
  }

  /**
   * The quotas of this API key and its tenant, by the last answer that named them; empty before. A hint for pacing, because
   * nobody signed it. A call beyond a quota waits as the server says and is sent again, within `maxRetries` and `timeoutMs`.
   */
  get quotas(): readonly Quota[] {
    return this.#connection.quotas()
  }
}
