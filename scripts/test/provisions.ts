import fs from 'node:fs'
import path from 'node:path'
import { findJava } from '#test/support/java/jdk.ts'
import { findMosquitto } from '#test/support/mosquitto.ts'
import { findCompiler, findPluginTools, pluginCache } from '#test/support/mosquitto-plugin/build.ts'
import { installDebianPackages, isDebian, unpackDebianPackages } from './debian-packages.ts'
import { findCommand, isExecutable } from './run-command.ts'
import type { Need } from './test-files.ts'

/** Where a thing that tests need comes from: looked for first, then made ready where that can be done without asking. */
export interface Provision {
  need: Need
  what: string
  /** Says where it is, or nothing. */
  find(root: string): string | undefined
  /** Brings it; absent where this system has no way that changes nothing outside this folder or asks for root. */
  prepare: ((root: string) => Promise<void>) | undefined
  /** The command that a person can type. */
  hint: string
}

const onMac = process.platform === 'darwin'
const isRoot = process.getuid?.() === 0
const debian = isDebian()
const sbin = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin', '/opt/homebrew/bin', '/usr/local/bin']

export const provisions: readonly Provision[] = [
  {
    need: 'mosquitto',
    what: 'Mosquitto',
    find: () => findMosquitto(),
    prepare: debian
      ? (root) => unpackDebianPackages(['mosquitto', 'mosquitto-clients'], path.join(root, '.cache/mosquitto'))
      : undefined,
    hint: onMac ? 'brew install mosquitto' : 'install Mosquitto 2, or set SEALWIRE_TEST_MOSQUITTO to its binary',
  },
  {
    need: 'mosquitto-plugin',
    what: 'gcc, the headers of Mosquitto and those of libcurl',
    find: (root) => findPluginTools(root)?.compiler,
    prepare: debian ? preparePluginTools : undefined,
    hint: onMac
      ? 'none on macOS: leave it out, as below'
      : 'sudo apt-get install gcc libc6-dev mosquitto-dev libcurl4-openssl-dev',
  },
  {
    need: 'java',
    what: 'a JDK, to compare our regexes with its own',
    find: findJava,
    prepare: debian && isRoot ? () => installDebianPackages(['openjdk-17-jdk-headless']) : undefined,
    hint: onMac ? 'brew install openjdk' : 'sudo apt-get install openjdk-17-jdk-headless',
  },
  {
    need: 'openssl',
    what: 'the openssl command',
    find: () => findCommand(['openssl'], sbin),
    prepare: debian && isRoot ? () => installDebianPackages(['openssl']) : undefined,
    hint: onMac ? 'brew install openssl' : 'sudo apt-get install openssl',
  },
  {
    need: 'postgres',
    what: 'PostgreSQL 15 or later beside our own',
    find: (root) => process.env['SEALWIRE_TEST_POSTGRES_URL'] ?? findPostgres(root),
    prepare: debian
      ? (root) =>
          unpackDebianPackages(
            ['postgresql-15'],
            path.join(root, '.cache/postgresql'),
            /^(libllvm|perl|ssl-cert|postgresql-c)/,
          )
      : undefined,
    hint: 'docker compose --profile test up -d test-postgres, and SEALWIRE_TEST_POSTGRES_URL as compose.yaml says',
  },
  {
    need: 'browser',
    what: 'Chromium',
    find: findChromium,
    prepare: debian && isRoot ? () => installDebianPackages(['chromium', 'fonts-liberation']) : undefined,
    hint: onMac
      ? 'brew install --cask chromium'
      : 'sudo apt-get install --no-install-recommends chromium fonts-liberation',
  },
  {
    need: 'netns',
    what: 'the unshare and ip commands',
    find: () => findCommand(['unshare']) && findCommand(['ip'], sbin),
    prepare: debian && isRoot ? () => installDebianPackages(['util-linux', 'iproute2']) : undefined,
    hint: 'sudo apt-get install util-linux iproute2 (Linux only)',
  },
]

/** Unpacks the headers; a compiler has to be installed, which only root can. */
async function preparePluginTools(root: string): Promise<void> {
  if (findCompiler() === undefined && isRoot) await installDebianPackages(['gcc', 'libc6-dev'])
  const others = /^(?!mosquitto-dev$|lib(curl|nghttp2|psl|rtmp|ssh2|ldap|sasl2|brotli))/ // libcurl needs those to run
  await unpackDebianPackages(['mosquitto-dev', 'libcurl4-openssl-dev'], pluginCache(root), others)
}

/** Finds the folder with `initdb` and `postgres` of a PostgreSQL of major version 15 or later; the newest one. */
export function findPostgres(root: string): string | undefined {
  const parents = ['/usr/lib/postgresql', path.join(root, '.cache/postgresql/usr/lib/postgresql')]
  const versioned = parents.flatMap((parent) =>
    readFolder(parent).map((name) => ({ major: Number(name), bin: `${parent}/${name}/bin` })),
  )
  const brewed = readFolder('/opt/homebrew/opt').flatMap((name) => {
    const major = Number(/^postgresql@(\d+)$/.exec(name)?.[1])
    return { major, bin: `/opt/homebrew/opt/${name}/bin` }
  })
  return [...versioned, ...brewed]
    .filter(({ major, bin }) => major >= 15 && isExecutable(`${bin}/postgres`) && isExecutable(`${bin}/initdb`))
    .sort((a, b) => b.major - a.major)[0]?.bin
}

/** Finds a browser that Playwright can drive: `SEALWIRE_TEST_CHROMIUM`, the PATH, the usual places. */
export function findChromium(): string | undefined {
  const named = process.env['SEALWIRE_TEST_CHROMIUM']
  if (named) return named
  const apps = [
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ]
  return findCommand(['chromium', 'chromium-browser', 'google-chrome']) ?? apps.find(isExecutable)
}

function readFolder(folder: string): string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder) : []
}
