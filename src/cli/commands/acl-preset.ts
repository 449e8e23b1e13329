import type { Command } from 'commander'
import { AppError } from '../../core/errors.ts'
import { describePreset, isPresetName, preset, presetNames } from '../../policy/presets/preset.ts'
import { quote } from '../../policy/problems.ts'
import { type Io, MisuseError } from '../io.ts'

const EXAMPLES = `
Examples:
  $ sealwire acl preset                                    the names, and who may do what in each
  $ sealwire acl preset chat --ns acme/site-1 > policy.json

A preset is a policy to start from, with tests that say what it is for.`

/** `sealwire acl preset NAME` prints a policy to start from; without a name it lists them. */
export function addAclPreset(acl: Command, io: Io): void {
  acl
    .command('preset [name]')
    .description('print a policy to start from, or list them')
    .option('--ns <levels>', "levels in front of every topic, as in acme/site-1; '' for none")
    .addHelpText('after', EXAMPLES)
    .action((name: string | undefined, { ns }: { ns?: string }) => {
      if (name === undefined) {
        const width = Math.max(...presetNames.map(({ length }) => length))
        for (const one of presetNames) io.out(`${one.padEnd(width)}  ${describePreset(one)}`)
        return
      }
      if (!isPresetName(name))
        throw new MisuseError(`There is no preset ${quote(name)}.`, `there are ${presetNames.join(', ')}`)
      try {
        io.out(JSON.stringify(preset(name, ns === undefined ? {} : { namespace: ns }), null, 2))
      } catch (err) {
        if (!(err instanceof AppError)) throw err
        throw new MisuseError(`--ns: ${err.message}`)
      }
    })
}
