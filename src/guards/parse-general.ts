import type { GeneralConfig, ProtocolVersion } from './guards-config.ts'
import type { Problems } from './problems.ts'
import type { SectionReader } from './section-reader.ts'

const VERSIONS: readonly ProtocolVersion[] = ['3.1', '3.1.1', '5.0']
const DEFAULT_VERSIONS: readonly ProtocolVersion[] = ['3.1.1', '5.0']

/** How refusals work. An integration says this and no more: versions and the log belong to a gateway. */
export function parseModes(reader: SectionReader): GeneralConfig {
  const config: GeneralConfig = {
    blockMode: reader.boolean('block-mode', true),
    failOpen: reader.boolean('fail-open', false),
    logPackets: false,
    protocolVersions: DEFAULT_VERSIONS,
  }
  reader.done()
  return config
}

export function parseGeneral(reader: SectionReader, problems: Problems): GeneralConfig {
  const logPackets = reader.boolean('log-packets', false)
  const listed = reader.list('protocol-versions', VERSIONS.length, (json, path) => {
    const version = VERSIONS.find((one) => one === json)
    if (version === undefined) problems.add(path, `must be ${VERSIONS.map((one) => JSON.stringify(one)).join(' or ')}`)
    return version
  })
  const protocolVersions = reader.has('protocol-versions') ? listed : DEFAULT_VERSIONS
  if (protocolVersions.length === 0) reader.refuse('protocol-versions', 'is empty: no client could connect')
  return { ...parseModes(reader), logPackets, protocolVersions }
}
