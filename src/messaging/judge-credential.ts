import { wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { StoredIntegration } from '../integrations/integration.ts'
import { type Integrations, MQTT_CREDENTIAL } from '../integrations/integrations.ts'
import type { DialTarget } from '../outbound/dial.ts'
import { judgeTarget } from '../outbound/judge-target.ts'
import type { IsDialable } from '../outbound/resolve-host.ts'
import type { Vault } from '../vault/vault.ts'
import { parseBrokerCredential, parseTarget, TARGET_MEMBERS } from './broker-credential.ts'
import { EXPIRED, withDeadline } from './deadline.ts'

/** Milliseconds; a vault that takes longer is not waited for. */
const OPEN_MS = 2_000

export interface JudgeCredential {
  /** Judges hosts, ports and authorities of what an integration is about to use, when that can be opened now. */
  ofIntegration(settings: Pick<StoredIntegration, 'tenantId' | 'credentialId' | 'config'>): Promise<void>
  /** Judges values that are about to replace those that integrations use. */
  ofEntry(tenantId: string, entryId: string, values: Readonly<Record<string, unknown>>): Promise<void>
}

type ReadTarget = (values: Readonly<Record<string, unknown>>, config: StoredIntegration['config']) => DialTarget

const readAll: ReadTarget = (values, config) => {
  const { target, login } = parseBrokerCredential(values, config)
  if (login.password) wipe(login.password.reveal())
  return target
}

function judge(
  read: ReadTarget,
  values: Readonly<Record<string, unknown>>,
  { config, id }: Pick<StoredIntegration, 'config'> & { id?: string },
  isDialable: IsDialable,
): void {
  try {
    judgeTarget(read(values, config), isDialable)
  } catch (err) {
    if (!(err instanceof AppError)) throw err
    // What is no host is named by its member, which stands in the credential and maybe not in the request.
    const message = err.code === 'request.invalid' ? `The credential is not usable: ${err.message}` : err.message
    throw new AppError(err.code, message, { details: { ...err.details, ...(id && { integration: id }) } })
  }
}

/**
 * Makes the early word on a broker credential: what is no host, no port, no PEM or must never be dialled is said to whoever
 * writes the integration, or new values for one that is in use, and not to the first who publishes. A courtesy: no name is
 * resolved, what cannot be opened now (split custody, expired, no KMS) is not judged, and no text is made of a stored password.
 * The dialler judges every time.
 *
 * @throws {AppError} `request.invalid`, `integration.invalid`, `destination.not_allowed`
 */
export function createJudgeCredential(deps: {
  vault: Pick<Vault, 'current' | 'peek'>
  find: Integrations['find']
  /** Ids of the integrations that use an entry. */
  usersOf: (tenantId: string, entryId: string) => Promise<readonly string[]>
  isDialable: IsDialable
  clock: Clock
}): JudgeCredential {
  const { vault, find, usersOf, isDialable, clock } = deps

  async function valuesOf(tenantId: string, entryId: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    try {
      if ((await vault.current(tenantId, entryId))?.credentialType !== MQTT_CREDENTIAL) return undefined
      const opened = await withDeadline(
        vault.peek(tenantId, entryId, TARGET_MEMBERS),
        clock.monotonic() + OPEN_MS,
        clock,
      )
      return opened === EXPIRED ? undefined : opened
    } catch (err) {
      if (err instanceof AppError) return undefined
      throw err
    }
  }

  return {
    async ofIntegration(settings) {
      const values = await valuesOf(settings.tenantId, settings.credentialId)
      if (values) judge(parseTarget, values, settings, isDialable)
    },
    async ofEntry(tenantId, entryId, values) {
      for (const id of await usersOf(tenantId, entryId)) {
        const user = await find(tenantId, id).catch((err: unknown) => {
          if (err instanceof AppError) return undefined // gone meanwhile, or of no use to anybody
          throw err
        })
        if (user) judge(readAll, values, user, isDialable)
      }
    },
  }
}
