import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { findCommand } from '../../../scripts/test/run-command.ts'

/** What the plugin is compiled with. */
export interface PluginTools {
  readonly compiler: string
  /** Folders of headers that the compiler does not know by itself. */
  readonly headers: readonly string[]
  /** Folder of an unpacked libcurl, where the system has none. */
  readonly libraries: string | undefined
}

const run = promisify(execFile)
const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
const CURL = 'libcurl.so.4'
const sources = ['go-auth.c', 'go-text.c'].map((name) => path.join(import.meta.dirname, name))

/** Where the test launcher unpacks what the system lacks. */
export const pluginCache = (root: string): string => path.join(root, '.cache/mosquitto-plugin')

export const findCompiler = (): string | undefined => findCommand(['gcc'])

/** Finds gcc and the headers of Mosquitto and libcurl, in the system or unpacked; nothing where one of them is missing. */
export function findPluginTools(root: string): PluginTools | undefined {
  const compiler = findCompiler()
  const cached = path.join(pluginCache(root), 'usr/include')
  const places = ['/usr/include', `/usr/include/${triplet}`, cached, path.join(cached, triplet)]
  const wanted = ['mosquitto_plugin.h', 'mosquitto_broker.h', 'curl/curl.h']
  const headers = wanted.map((name) => places.find((place) => existsSync(path.join(place, name))))
  const known = ['/usr/lib', '/lib'].some((folder) => existsSync(path.join(folder, triplet, CURL)))
  const unpacked = path.join(pluginCache(root), 'usr/lib', triplet)
  const libraries = known ? undefined : unpacked
  if (compiler === undefined || headers.includes(undefined)) return undefined
  if (!known && !existsSync(path.join(unpacked, CURL))) return undefined
  return {
    compiler,
    headers: [...new Set(headers.filter((place) => place?.startsWith(cached)))] as string[],
    libraries,
  }
}

/**
 * Compiles the plugin into a folder and returns its path: a Mosquitto 2 that loads it asks as mosquitto-go-auth does.
 *
 * @throws {Error} with what the compiler said
 */
export async function buildMosquittoPlugin(folder: string): Promise<string> {
  const tools = findPluginTools(path.join(import.meta.dirname, '../../..'))
  if (!tools) throw new Error('gcc, mosquitto-dev and libcurl4-openssl-dev are needed; npm test fetches them on Debian')
  const output = path.join(folder, 'go-auth.so')
  const { compiler, headers, libraries } = tools
  const flags = [
    '-std=c11',
    '-D_GNU_SOURCE',
    '-O1',
    '-fPIC',
    '-shared',
    '-Wl,-Bsymbolic',
    '-Wall',
    '-Wextra',
    '-Werror',
  ]
  const places = headers.flatMap((place) => ['-isystem', place])
  const link = libraries === undefined ? [] : [`-L${libraries}`, `-Wl,--disable-new-dtags,-rpath,${libraries}`]
  const objects = [...sources, '-o', output, ...link, '-Wl,--allow-shlib-undefined', `-l:${CURL}`]
  await run(compiler, [...flags, ...places, ...objects])
  return output
}
