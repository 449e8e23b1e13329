import { z } from 'zod'
import { Secret } from '../core/secret.ts'

const count = (min: number, max: number) => z.coerce.number().int().min(min).max(max)
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)
const cidr = z.union([z.cidrv4(), z.cidrv6()])

const Env = z
  .object({
    HOST: z.string().min(1).default('127.0.0.1'),
    PORT: count(0, 65_535).default(8080),
    TLS_CERT_FILE: z.string().optional(),
    TLS_KEY_FILE: z.string().optional(),
    DATABASE_URL: z
      .url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' })
      .transform((url) => new Secret(url))
      .optional(),
    DATA_DIR: z.string().min(1).default('./.sealwire'),
    KMS_PROVIDER: z.enum(['local', 'aws']).default('local'),
    AWS_REGION: z.string().optional(),
    KMS_KEY_ID: z.string().optional(),
    KMS_ENDPOINT: z.url().optional(),
    OUTBOUND_ALLOW: list.pipe(z.array(cidr)).default([]),
    CRYPTO_PROVIDER: z.enum(['auto', 'openssl', 'noble']).default('auto'),
    SIGNER_QUEUE_MAX: count(1, 65_536).default(4096),
    SIGNER_BATCH_MAX: count(1, 1024).default(1024),
    POOL_MAX_CONNECTIONS: count(1, 10_000).default(500),
    POOL_IDLE_MS: count(1_000, 86_400_000).default(300_000),
    BROKER_CONNECT_TIMEOUT_MS: count(100, 30_000).default(5_000),
    REQUEST_DEADLINE_MS: count(10, 30_000).default(10_000),
    STOP_NOTICE_MS: count(0, 5_000).default(1_000),
    RATE_LIMIT_KEY: count(200, 1_000_000).default(50_000),
    RATE_LIMIT_TENANT: count(200, 1_000_000).default(100_000),
    RATE_LIMIT_STORE: z.enum(['memory', 'postgres']).default('memory'),
    METRICS_TOKEN: z
      .string()
      .min(16, 'needs at least 16 characters')
      .transform((token) => new Secret(token))
      .optional(),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
    LOG_FORMAT: z.enum(['json', 'pretty']).optional(),
    TRUST_PROXY: list.pipe(z.array(z.union([z.ipv4(), z.ipv6(), cidr]))).default([]),
    BROKER_AUTH_CONFIG: z.string().min(1).optional(),
    CORS_ORIGINS: list.pipe(z.array(z.url({ protocol: /^https?$/ }))).default([]),
  })
  .superRefine((env, ctx) => {
    const need = (ok: boolean, path: string, message: string) => {
      if (!ok) ctx.addIssue({ code: 'custom', path: [path], message })
    }
    if (env.KMS_PROVIDER === 'aws') {
      need(env.AWS_REGION !== undefined, 'AWS_REGION', 'needed with KMS_PROVIDER=aws')
      need(env.KMS_KEY_ID !== undefined, 'KMS_KEY_ID', 'needed with KMS_PROVIDER=aws')
    }
    need(
      (env.TLS_CERT_FILE === undefined) === (env.TLS_KEY_FILE === undefined),
      'TLS_KEY_FILE',
      'set both TLS files or neither',
    )
  })

export type Config = z.output<typeof Env>

/** Variables of features that are not there: set, they stop the start, so that nobody relies on them. */
const notAvailable = ['AUDIT_SINKS', 'GATEWAY_CONFIG']

/** Names of every variable that means something to Sealwire. */
export const configNames: readonly string[] = Object.keys(Env.shape)

/**
 * Reads the configuration from an environment. An empty variable counts as absent.
 *
 * @throws {Error} that names every bad variable at once and prints no value
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const present = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => configNames.includes(name) && value !== ''),
  )
  const parsed = Env.safeParse(present)
  const missing = notAvailable.filter((name) => env[name] !== undefined && env[name] !== '')
  if (parsed.success && missing.length === 0) return parsed.data
  const issues = parsed.error?.issues ?? []
  const lines = [
    ...issues.map((issue) => `  ${issue.path[0]?.toString() ?? '?'}: ${issue.message}`),
    ...missing.map((name) => `  ${name}: not available in this version; unset it`),
  ]
  throw new Error(`Invalid configuration:\n${[...new Set(lines)].join('\n')}`)
}
