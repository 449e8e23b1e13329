import type { Command } from 'commander'
import type { Io } from '../io.ts'
import { addAclCreate } from './acl-create.ts'
import { addAclDiff } from './acl-diff.ts'
import { addAclGet } from './acl-get.ts'
import { addAclImport } from './acl-import.ts'
import { addAclLint } from './acl-lint.ts'
import { addAclPreset } from './acl-preset.ts'
import { addAclSimulate } from './acl-simulate.ts'
import { addAclTest } from './acl-test.ts'
import { addAclUpdate } from './acl-update.ts'
import { addAclValidate } from './acl-validate.ts'

const EXAMPLES = `
From nothing to a policy that decides:
  $ sealwire acl preset device-twin > policy.json
  $ sealwire acl validate policy.json
  $ sealwire acl simulate policy.json --as '{"clientId": "d1"}' --do subscribe --topic 'sensors/d1/#'
  $ sealwire acl create policy.json

All but get, create and update work on files alone, without a server.`

/** `sealwire acl …`: policies as files, and those of the server. */
export function addAcl(acl: Command, io: Io, setExitCode: (code: number) => void): void {
  acl.addHelpText('after', EXAMPLES)
  addAclValidate(acl, io, setExitCode)
  addAclLint(acl, io)
  addAclSimulate(acl, io)
  addAclTest(acl, io, setExitCode)
  addAclDiff(acl, io)
  addAclImport(acl, io)
  addAclPreset(acl, io)
  addAclGet(acl, io)
  addAclCreate(acl, io)
  addAclUpdate(acl, io)
}
