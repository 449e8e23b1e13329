// `npm run soak [-- PART…] [-- --trials N]`: random cases by the million instead of by the hundred thousand, crashes by the
// thousand. Prints its seed and how far it is, and writes soak-results.json. `SEALWIRE_SEED` repeats the random cases.
import fs from 'node:fs/promises'
import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { propertySeed } from '#test/policy/properties/seed.ts'
import { describeMachine } from '../bench/report.ts'
import { crashPart } from './crash.ts'
import { policyPart } from './policy.ts'
import { poolPart } from './pool.ts'
import type { SoakCounts, SoakOptions, SoakPart } from './soak-part.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const parts: readonly SoakPart[] = [policyPart, crashPart, poolPart]
const REPORT_MS = 1_000

interface Outcome {
  seconds: number
  counts: SoakCounts
}

/** Writes a line about how far it is, at most once a second: over the last one on a terminal. */
function createReport() {
  const out = process.stderr
  const startedMs = performance.now()
  let lastMs = 0
  return async (title: string, done: number, wanted: number) => {
    const nowMs = performance.now()
    if (nowMs - lastMs >= REPORT_MS || done >= wanted) {
      lastMs = nowMs
      const line = `${title}: ${done.toLocaleString('en')} of ${wanted.toLocaleString('en')} (${Math.round((nowMs - startedMs) / 1000)} s)`
      out.write(out.isTTY && done < wanted ? `\r\u001b[K${line}` : `${out.isTTY ? '\r\u001b[K' : ''}${line}\n`)
    }
    await nextTurn()
  }
}

/** @throws {Error} for an option that there is not, or a number that is none */
function parseCommand(args: readonly string[]): { names: string[]; options: SoakOptions } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { trials: { type: 'string' } },
  })
  if (values.trials === undefined) return { names: positionals, options: {} }
  if (!/^[1-9]\d{0,6}$/.test(values.trials)) throw new Error('--trials takes a whole number from 1')
  return { names: positionals, options: { trials: Number(values.trials) } }
}

async function main(args: readonly string[]): Promise<number> {
  const { names, options } = parseCommand(args)
  const unknown = names.filter((name) => !parts.some((part) => part.name === name))
  if (unknown.length > 0) {
    process.stderr.write(`${unknown.join(', ')}: no such part; there is ${parts.map(({ name }) => name).join(', ')}\n`)
    return 2
  }
  const seed = propertySeed()
  process.stderr.write(`SEALWIRE_SEED=${seed}\n`)
  const outcomes: Record<string, Outcome> = {}
  for (const part of parts.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const startedMs = performance.now()
    const counts = await part.run(seed, createReport(), options)
    outcomes[part.name] = { seconds: Math.round((performance.now() - startedMs) / 1000), counts }
  }
  const results = { seed, date: new Date().toISOString(), machine: describeMachine(), parts: outcomes }
  await fs.writeFile(path.join(root, 'soak-results.json'), `${JSON.stringify(results, null, 2)}\n`)
  console.log(`Nothing failed; the counts are in soak-results.json (seed ${seed}).`)
  return 0
}

process.exitCode = await main(process.argv.slice(2))
