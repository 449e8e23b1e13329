import { type SpawnOptions, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import path from 'node:path'

/**
 * Runs a command to its end and returns what it wrote to stdout.
 *
 * @throws {Error} that holds the command and everything it wrote, where it cannot be started or ends with another code than 0
 */
export function runCommand(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let both = ''
    child.stdout?.on('data', (data: Buffer) => {
      stdout += data.toString()
      both += data.toString()
    })
    child.stderr?.on('data', (data: Buffer) => {
      both += data.toString()
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve(stdout)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}:\n${both.trim()}`))
    })
  })
}

/** Answers whether a file exists and may be executed. */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false // absent, or not for us: the same to a search
  }
}

/** Finds a command in the PATH and in further folders. */
export function findCommand(names: readonly string[], folders: readonly string[] = []): string | undefined {
  const searched = [...(process.env['PATH'] ?? '').split(path.delimiter), ...folders].filter((folder) => folder !== '')
  return searched.flatMap((folder) => names.map((name) => path.join(folder, name))).find(isExecutable)
}
