import type { Tried } from '../identity/chain.ts'
import type { Credentials, RefusalReason } from '../identity/provider.ts'
import type { AccessAction, Decision } from '../policy/access.ts'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import type { Qos } from '../policy/document.ts'
import type { Identity } from '../policy/identity.ts'

export const dialectNames = ['go-auth', 'emqx', 'rabbitmq', 'tbmq', 'vernemq'] as const
export type DialectName = (typeof dialectNames)[number]

/** What a broker sent, behind the test that it is this broker. */
export interface HookRequest {
  /** In capitals. */
  readonly method: string
  /** The one segment that follows the hook's name and secret, as sent and not decoded: `/user`, `/acl`. */
  readonly path: string
  /** What follows `?`, without a member `secret`; `''` when there is none. */
  readonly query: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Uint8Array
}

/** Whom a broker asks about. Brokers name a client by what it said when it connected, so that is what a session is found by. */
export interface Subject {
  /** `''` where the client sent none. */
  readonly username: string
  /** `''` where the broker does not say. */
  readonly clientId: string
  /** A token that came with this very question, where it may stand: it is judged where no session says who this is. */
  readonly proof?: Credentials
}

/** One thing that a client wants to do. */
export interface Want {
  readonly action: AccessAction
  readonly topic: string
  readonly qos?: Qos
  readonly retain?: boolean
}

export type Question =
  | { readonly kind: 'login'; readonly credentials: Credentials }
  /** `all`: every want must be allowed, and what follows a refused one is not looked at; `each`: they are judged one by one. */
  | {
      readonly kind: 'access'
      readonly subject: Subject
      readonly wants: readonly Want[]
      readonly mode: 'all' | 'each'
    }
  | { readonly kind: 'superuser'; readonly subject: Subject }
  /** Whether somebody with this name is logged in, for questions of a broker that are about nothing of ours. */
  | { readonly kind: 'known'; readonly subject: Subject }
  /** What the dialect answers by itself, whoever asks: a connection test, a resource that nobody gets. */
  | { readonly kind: 'reply'; readonly answer: HookAnswer }

/** `what` names the member and the rule, never a value: it goes to the log and, where the dialect has room, to the broker. */
export interface Malformed {
  readonly kind: 'malformed'
  readonly what: string
  /** The path is none of this dialect's, or not with this method. */
  readonly route?: 'path' | 'method'
}

/** Somebody who may be connected, as far as a dialect may have to tell the broker. */
export interface LoggedIn {
  readonly identity: Identity
  /** Which one accepted. */
  readonly provider: string
  /** Unix milliseconds. */
  readonly expiresAt: number | undefined
  /** Only where the hook names who is one. */
  readonly isSuperuser: boolean
  /** The policy of the hook, and the rules that came with the credentials. */
  readonly policy: CompiledPolicy
  readonly ownRules: CompiledPolicy | undefined
  /** Whether the hook's permission map lets this identity do it at all; always, where it has no map. */
  mayTry(action: AccessAction): boolean
}

export interface AccessVerdict {
  readonly allowed: boolean
  /** The policy's decision; absent where it was not asked: no session, no capability. */
  readonly decision?: Decision
}

/** Who a question was about and what decided, for the audit log; nothing that a broker is told. */
export interface About {
  readonly identity: Identity
  readonly policy?: { readonly id: string; readonly revision: number }
}

/**
 * What a question comes to. All but `accepted`, `known` and a verdict that allows must be a refusal in every dialect, in the
 * form that this broker understands as one; what is unknown to a dialect is one too.
 */
export type Answer =
  | { readonly kind: 'accepted'; readonly login: LoggedIn }
  /** `tried`: what each provider found that was asked; for operators, no broker is told. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly tried?: readonly Tried[] }
  /** One for each want, in their order; for `all` no more than up to the first that is refused. */
  | {
      readonly kind: 'access'
      readonly verdicts: readonly AccessVerdict[]
      readonly session: 'found' | 'none'
      readonly about?: About
    }
  | { readonly kind: 'superuser'; readonly isSuperuser: boolean }
  | { readonly kind: 'known'; readonly isKnown: boolean }
  | Malformed
  | { readonly kind: 'too-large' }
  /** The hook's secret, certificate or address is missing or wrong: no broker of ours. */
  | { readonly kind: 'stranger' }
  /** The policy, the database, keys or a service that decides are out of reach, or there is no room for the question. */
  | { readonly kind: 'unavailable' }
  /** Not known within the hook's deadline. */
  | { readonly kind: 'late' }

/** Headers of answers. */
export const JSON_TYPE = { 'content-type': 'application/json' }
export const TEXT_TYPE = { 'content-type': 'text/plain; charset=utf-8' }

export interface HookAnswer {
  readonly status: number
  /** Names in lower case. `cache-control: no-store` is added where it names none, `content-length` always. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a dialect may be told by its hook's section of the configuration. */
export interface DialectSettings {
  readonly answers: 'status' | 'json' | 'text'
  /** Where a question may bring a token, besides the password of a login: that is the providers' affair. */
  readonly tokenFrom: readonly ('authorization' | 'username')[]
  /** RabbitMQ: the virtual host of its clients; a client names another one in its user name. */
  readonly vhost: string
  /** VerneMQ: the mountpoint of its clients. */
  readonly mountpoint: string
}

/** A pure mapping between one broker's HTTP and our questions. */
export interface Dialect {
  readonly name: DialectName
  /** Whether the broker asks before each delivery; without that nothing is granted that deliveries would have to filter. */
  readonly delivery: boolean
  /** The broker asks about nothing but logins, so that nobody needs to be remembered. */
  readonly asksLoginsOnly?: true
  /** Never throws. */
  parse(request: HookRequest): Question | Malformed
  /**
   * Never throws. `request` as `parse` got it, without its body where the answer came before that was read; `question` where
   * there was one.
   */
  render(answer: Answer, request: HookRequest, question: Question | undefined): HookAnswer
}

export type CreateDialect = (settings: DialectSettings) => Dialect
