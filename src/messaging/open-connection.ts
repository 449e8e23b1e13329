import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Dial, DialTarget } from '../outbound/dial.ts'
import { unreachable } from '../outbound/dial-errors.ts'
import type { BrokerClient } from './broker.ts'
import { connectBroker } from './broker-client.ts'
import { type BrokerLogin, parseBrokerCredential } from './broker-credential.ts'
import { countsAsFailure, createGates, isPasswordRefusal } from './connect-gate.ts'
import { createConnectPermits } from './connect-permits.ts'
import type { CredentialUse } from './credential-gate.ts'
import { sleepUntil } from './deadline.ts'
import { createRetrySpacing } from './retry-spacing.ts'
import { type Attempt, createRouteGates, type Route, routeOf } from './route-gates.ts'
import { firstThatWorks } from './several-hosts.ts'

export interface OpenedConnection {
  readonly client: BrokerClient
  readonly dialMs: number
  readonly connackMs: number
}

/** How a connection ended; `another client` when that took the session over. */
export interface ConnectionEnd {
  readonly by: 'us' | 'broker' | 'another client'
  /** It lived long enough to say that connecting works. */
  readonly isStable: boolean
}

export interface Opened extends OpenedConnection {
  /** To be told once, for it to be remembered; answers whether nothing connects with this key any more for a while. */
  readonly ended: (end: ConnectionEnd) => { stopped: boolean }
}

export interface Opening {
  readonly integration: Integration
  readonly use: CredentialUse
  /** Of the connection: what its failures are remembered by. */
  readonly key: string
  /** A connection test asks whatever has failed before. */
  readonly forced: boolean
  /** Takes the place that the connection will have; the broker is dialled once it is there. */
  readonly makeRoom: () => Promise<unknown> | undefined
  /** @throws {AppError} when nothing may be opened any more */
  readonly assertWanted: () => void
}

export interface Opener {
  /**
   * Opens a connection, which may take `connectTimeoutMs` for its turn and as long again for broker and login.
   *
   * @throws {AppError} at once the last failure again, while a breaker is open or the credential refused
   */
  open(opening: Opening): Promise<Opened>
  /** Throws as `open` would at once, or when the attempt that is under way promises nothing. Takes no turn. */
  assertHopeful(opening: Pick<Opening, 'integration' | 'use' | 'key'>): void
  /** Times that a broker was dialled, and those that it was not because of earlier failures. */
  readonly counts: { readonly attempts: number; readonly refused: number }
}

export interface OpenerDeps {
  readonly dial: Dial
  readonly clock: Clock
  readonly connectTimeoutMs: number
  /** In [0, 1). */
  readonly random: () => number
}

const MAX_REMEMBERED = 20_000
/** One finds out the route, one waits for its turn on it; one more where it was forgotten meanwhile. */
const MAX_TRIES = 3

function isUnreachable(err: unknown): boolean {
  return err instanceof AppError && err.code === 'broker.unreachable'
}

function credentialOf({ integration: { tenantId, credentialId }, use }: Pick<Opening, 'integration' | 'use'>): string {
  return `${tenantId}/${credentialId}/${use.version}`
}

/**
 * Makes what turns an integration into a logged-in client: wait for the turn, open the credential, dial, CONNECT. What went
 * wrong is remembered by route, when the broker was not reached, and by connection, when it was and did not let us in.
 */
export function createOpener({ dial, clock, connectTimeoutMs, random }: OpenerDeps): Opener {
  const instance = randomBytes(4).toString('hex')
  const gates = createGates({ clock, random, halfOpenMs: connectTimeoutMs })
  /** By credential and version: a password that was refused is not shown again by another integration. */
  const passwords = createGates({ clock, random, halfOpenMs: connectTimeoutMs })
  const retryFrom = createRetrySpacing({ clock, random })
  const routes = createRouteGates({ clock, random, retryFrom })
  const permits = createConnectPermits(clock)
  /** A route is in the credential; while it is remembered, nothing is opened before its turn has come. */
  const known = new LRUCache<string, Route>({ max: MAX_REMEMBERED })
  const counts = { attempts: 0, refused: 0 }

  async function logIn(
    opening: Opening,
    target: DialTarget,
    login: BrokerLogin,
    attempt: Attempt,
    addresses: readonly string[],
  ): Promise<OpenedConnection> {
    const { integration, use, key } = opening
    const { config, tenantId } = integration
    const deadlineMs = clock.monotonic() + connectTimeoutMs
    const seen = { link: false, broker: false }

    async function logInAt(host: number, untilMs: number): Promise<OpenedConnection> {
      if (host > 0) await permits.next(tenantId, addresses[host] ?? '', untilMs)
      const startedMs = clock.monotonic()
      counts.attempts++
      const link = await dial(target, { tenantId, host, deadlineMs: untilMs })
      const dialledMs = clock.monotonic()
      seen.link = true
      try {
        use.assertUnlocked() // it may have been locked meanwhile: the broker sees no login then
      } catch (err) {
        link.close()
        throw err
      }
      try {
        const { keepaliveS, protocolVersion } = config
        const clientId = `${config.clientIdPrefix}-${instance}-${randomBytes(16).toString('hex')}`
        const connect = { link, login, deadlineMs: untilMs, clock, keepaliveS, protocolVersion, clientId }
        const client = await connectBroker(connect)
        link.proven()
        return { client, dialMs: dialledMs - startedMs, connackMs: clock.monotonic() - dialledMs }
      } catch (err) {
        // A broker that says nothing says it to everybody; one that hangs up may mean this login.
        if (!isUnreachable(err) || clock.monotonic() < untilMs) seen.broker = true
        throw err
      }
    }

    try {
      const opened = await firstThatWorks({ count: target.hosts.length, deadlineMs, clock }, logInAt)
      attempt.reached()
      return opened
    } catch (err) {
      if (!countsAsFailure(err)) throw err
      const isSilent = isUnreachable(err) && !seen.broker
      if (isSilent) attempt.failed(err)
      else if (seen.broker) attempt.reached()
      if (!isSilent || seen.link) gates.failed(key, err, () => retryFrom(tenantId))
      if (isPasswordRefusal(err)) passwords.failed(credentialOf(opening), err)
      throw err
    }
  }

  /** One try, or `undefined` when the route is new and must wait for its turn. */
  async function tryOnce(opening: Opening, route: Route | undefined, passed: Attempt | undefined, deadlineMs: number) {
    const { integration, use, key, forced, makeRoom, assertWanted } = opening
    const leave = await permits.enter(integration.tenantId, deadlineMs, passed?.isRetry ?? false)
    let attempt = passed
    try {
      const { target, login } = parseBrokerCredential(await use.open(deadlineMs), integration.config)
      try {
        const actual = routeOf(integration.tenantId, target)
        known.set(key, actual)
        if (actual.key !== route?.key) {
          attempt?.gaveUp()
          attempt = forced ? routes.force(actual) : routes.passNow(actual)
        }
        if (!attempt) return undefined
        const ended = await permits.begin(integration.tenantId, actual.addresses[0] ?? '', deadlineMs)
        try {
          assertWanted()
          if (attempt.isOvertaken) return undefined
          await makeRoom()
          return await logIn(opening, target, login, attempt, actual.addresses)
        } finally {
          ended()
        }
      } finally {
        if (login.password !== undefined) wipe(login.password.reveal())
      }
    } finally {
      attempt?.gaveUp()
      leave()
    }
  }

  async function waitAndTry(opening: Opening, notBeforeMs: number): Promise<OpenedConnection> {
    const { key, forced, assertWanted } = opening
    if (notBeforeMs > clock.monotonic()) await sleepUntil(notBeforeMs, clock)
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const route = forced ? undefined : known.get(key)
      const passed = route && (await routes.pass(route, clock.monotonic() + 2 * connectTimeoutMs))
      try {
        assertWanted()
        const opened = await tryOnce(opening, route, passed, clock.monotonic() + connectTimeoutMs)
        if (opened) return opened
      } finally {
        passed?.gaveUp()
      }
    }
    throw unreachable(new Error('its turn did not come'))
  }

  /** Counts a connection that has logged in, and makes what is called when it has ended. */
  function onLive({ key, integration: { tenantId } }: Opening): Opened['ended'] {
    const route = known.get(key)
    const leave = route && routes.enter(route)
    return ({ by, isStable }) => {
      leave?.(by !== 'us')
      if (by === 'another client') return { stopped: gates.takenOver(key) }
      if (isStable) gates.forget(key)
      else if (by === 'broker') gates.failed(key, unreachable(), () => retryFrom(tenantId))
      return { stopped: false }
    }
  }

  return {
    open(opening) {
      const { key, forced } = opening
      const route = known.get(key)
      const credential = credentialOf(opening)
      let notBeforeMs = 0
      try {
        if (!forced && route) routes.assertOpen(route)
        if (!forced) gates.assertOpen(key) // nobody passes the one gate and is stopped at the other
        if (!forced) passwords.pass(credential)
        if (!forced) notBeforeMs = gates.pass(key)
      } catch (err) {
        counts.refused++
        throw err
      }
      return waitAndTry(opening, notBeforeMs).then(
        (opened) => {
          if (forced) gates.forget(key)
          else gates.loggedIn(key)
          passwords.forget(credential)
          return { ...opened, ended: onLive(opening) }
        },
        (err: unknown) => {
          if (!forced) gates.gaveUp(key) // of one that was refused this changes nothing
          if (!forced) passwords.gaveUp(credential)
          throw err
        },
      )
    },

    assertHopeful(opening) {
      const route = known.get(opening.key)
      try {
        if (route) routes.assertHopeful(route)
        passwords.assertOpen(credentialOf(opening))
        gates.assertOpen(opening.key)
      } catch (err) {
        counts.refused++
        throw err
      }
    },

    counts,
  }
}
