import fs from 'node:fs/promises'
import path from 'node:path'
import { findCommand, runCommand } from './run-command.ts'

/** Answers whether this system has Debian's package tools. */
export const isDebian = (): boolean => findCommand(['apt-get']) !== undefined && findCommand(['dpkg']) !== undefined

/**
 * Downloads Debian packages, with those of their dependencies that the system lacks, and unpacks them below `folder`.
 * Needs no root, installs and starts nothing. `folder` appears only when it is whole.
 *
 * @param leaveOut names of dependencies that are not needed to run the program
 */
export async function unpackDebianPackages(
  packages: readonly string[],
  folder: string,
  leaveOut: RegExp = /^$/,
): Promise<void> {
  const work = `${folder}.${process.pid}`
  await fs.rm(work, { recursive: true, force: true })
  await fs.mkdir(path.join(work, 'tree'), { recursive: true })
  try {
    const download = (options: readonly string[]) => downloadInto(work, packages, leaveOut, options)
    await download([]).catch(async () => download(await fetchPackageLists(work)))
    const archives = (await fs.readdir(work)).filter((name) => name.endsWith('.deb'))
    for (const archive of archives) await runCommand('dpkg', ['-x', path.join(work, archive), path.join(work, 'tree')])
    await fs.rm(folder, { recursive: true, force: true })
    await fs.rename(path.join(work, 'tree'), folder)
  } finally {
    await fs.rm(work, { recursive: true, force: true })
  }
}

async function downloadInto(folder: string, packages: readonly string[], leaveOut: RegExp, options: readonly string[]) {
  const plan = await apt(folder, options, ['-s', '--no-install-recommends', 'install', ...packages])
  const names = [...plan.matchAll(/^Inst (\S+) /gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => !leaveOut.test(name))
  await apt(folder, options, ['download', ...new Set([...packages, ...names])])
}

/** Fetches the lists of packages into a folder of our own, because those of the system are absent, old, or not ours to write. */
async function fetchPackageLists(folder: string): Promise<string[]> {
  const options: string[] = []
  for (const [name, part] of Object.entries({ 'State::lists': 'lists', Cache: 'cache' })) {
    const place = path.join(folder, part)
    await fs.mkdir(path.join(place, part === 'lists' ? 'partial' : 'archives/partial'), { recursive: true })
    options.push('-o', `Dir::${name}=${place}`)
  }
  await apt(folder, [...options, '-o', 'Debug::NoLocking=1'], ['update'])
  return options
}

function apt(cwd: string, options: readonly string[], args: readonly string[]): Promise<string> {
  const asRoot = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : []
  return runCommand('apt-get', ['-q', ...asRoot, ...options, ...args], { cwd, env: { ...process.env, LC_ALL: 'C' } })
}

/** Installs Debian packages into the system. Only root can. */
export async function installDebianPackages(packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = () => runCommand('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], { env })
  await install().catch(async () => {
    await runCommand('apt-get', ['update', '-q'], { env })
    await install()
  })
}
