import type { GuardedRequest } from '../outbound/guarded-request.ts'
import { createAnonymousProvider } from './anonymous.ts'
import { CaFileInvalid, createCertificateProvider } from './certificate/create-certificate-provider.ts'
import { createHttpProvider } from './http-service/create-http-provider.ts'
import { createJwtProvider } from './jwt/jwt-provider.ts'
import { KeyFault } from './jwt/keys.ts'
import type { Provider } from './provider.ts'
import type { ProviderDeps } from './provider-deps.ts'
import type { ProviderSettings } from './providers-schema.ts'
import { SecretUnavailable } from './secret-source.ts'
import { createUsersFile } from './users-file/create-users-file.ts'
import { UsersFileInvalid } from './users-file/parse-users.ts'

export interface OpenProvidersDeps extends Omit<ProviderDeps, 'name'> {
  readonly request: GuardedRequest
}

/** Every provider that could not be opened, each line with the place of its section; no line quotes a secret. */
export class ProvidersNotOpened extends Error {
  override readonly name = 'ProvidersNotOpened'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

export interface OpenedProviders {
  readonly byName: ReadonlyMap<string, Provider>
  close(): Promise<void>
}

function open(settings: ProviderSettings, deps: ProviderDeps & OpenProvidersDeps): Provider | Promise<Provider> {
  switch (settings.type) {
    case 'file':
      return createUsersFile(settings, deps)
    case 'jwt':
      return createJwtProvider(settings, deps)
    case 'x509':
      return createCertificateProvider(settings, deps)
    case 'http':
      return createHttpProvider(settings, deps)
    case 'anonymous':
      return createAnonymousProvider(settings, deps)
  }
}

/** What the operator can put right: a file, a secret. Anything else is a fault of ours and passes as it is. */
function problemsOf(err: unknown): readonly string[] {
  if (err instanceof UsersFileInvalid) return err.problems.map((problem) => `the users file: ${problem}`)
  if (err instanceof SecretUnavailable || err instanceof CaFileInvalid || err instanceof KeyFault) return [err.message]
  throw err
}

/**
 * Opens every provider that is configured. Either all are open, or none is left open.
 *
 * @throws {ProvidersNotOpened} that names everything that the operator has to put right
 */
export async function openProviders(
  sections: Readonly<Record<string, ProviderSettings>>,
  deps: OpenProvidersDeps,
): Promise<OpenedProviders> {
  const names = Object.keys(sections)
  const results = await Promise.allSettled(
    Object.entries(sections).map(async ([name, settings]) => open(settings, { ...deps, name })),
  )
  const byName = new Map<string, Provider>()
  for (const [i, result] of results.entries()) {
    if (result.status === 'fulfilled') byName.set(names[i] ?? '', result.value)
  }
  const close = async () => {
    await Promise.all([...byName.values()].map(async (provider) => provider.close?.()))
  }
  const failed = results.flatMap((result, i) =>
    result.status === 'rejected' ? [{ name: names[i] ?? '', err: result.reason as unknown }] : [],
  )
  if (failed.length === 0) return { byName, close }
  await close()
  throw new ProvidersNotOpened(
    failed.flatMap(({ name, err }) => problemsOf(err).map((problem) => `providers.${name}: ${problem}`)),
  )
}
