import type { Qos } from '../policy/document.ts'
import type { QosConfig } from './guards-config.ts'
import type { DocumentLimits } from './parse-limits.ts'
import type { Problems } from './problems.ts'
import { readTopic } from './read-topics.ts'
import { SectionReader } from './section-reader.ts'

const QOS = { min: 0, max: 2 }

/** Reads a QoS; `undefined` when it is absent or none. */
export function readQos(reader: SectionReader, key: string): Qos | undefined {
  return reader.integer(key, QOS) as Qos | undefined
}

export function parseQos(reader: SectionReader, limits: DocumentLimits, problems: Problems): QosConfig {
  const config: QosConfig = {
    enabled: reader.boolean('enabled', false),
    maxQos: readQos(reader, 'max-qos') ?? 2,
    downgrade: reader.boolean('downgrade', true),
    perTopic: reader.list('per-topic', limits.topics, (json, path) => {
      const entry = new SectionReader(json, path, problems)
      const topic = readTopic(entry, problems)
      entry.require('max-qos')
      const maxQos = readQos(entry, 'max-qos')
      entry.done()
      return topic === undefined || maxQos === undefined ? undefined : { topic, maxQos }
    }),
  }
  reader.done()
  return config
}
