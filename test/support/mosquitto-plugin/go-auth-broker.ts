import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Mosquitto, type MosquittoOptions, startMosquitto } from '../mosquitto.ts'
import { buildMosquittoPlugin } from './build.ts'

/** Options of the plugin by their names without `auth_opt_`, as `mosquitto.conf` takes them. */
export type GoAuthOptions = Readonly<Record<string, string | number>>

export interface PluginFile {
  readonly file: string
  remove(): Promise<void>
}

/** Compiles the plugin into a folder of its own. */
export async function compileGoAuth(): Promise<PluginFile> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-go-auth-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    return { file: await buildMosquittoPlugin(folder), remove }
  } catch (err) {
    await remove()
    throw err
  }
}

/** Starts a Mosquitto whose only word on logins and topics is what the plugin is answered. */
export function startGoAuthBroker(
  { file }: PluginFile,
  options: GoAuthOptions,
  more: MosquittoOptions = {},
): Promise<Mosquitto> {
  const settings = Object.entries(options).map(([name, value]) => `auth_opt_${name} ${value}`)
  return startMosquitto({ ...more, anonymous: false, settings: [`auth_plugin ${file}`, ...settings] })
}
