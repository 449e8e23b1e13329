export type Environment = Readonly<Record<string, string | undefined>>

const VARIABLE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g

/** Puts the values of `${NAME}` into a text, once; or names the variables that are not set. */
export function expandEnv(text: string, env: Environment): { text: string } | { unset: readonly string[] } {
  const names = [...text.matchAll(VARIABLE)].map((match) => match[1] as string)
  const unset = names.filter((name) => !Object.hasOwn(env, name) || env[name] === undefined)
  if (unset.length > 0) return { unset }
  return { text: text.replace(VARIABLE, (_, name: string) => env[name] ?? '') }
}
