import type { RetainedConfig } from './guards-config.ts'
import type { DocumentLimits } from './parse-limits.ts'
import type { Problems } from './problems.ts'
import { readTopics } from './read-topics.ts'
import type { SectionReader } from './section-reader.ts'

export function parseRetained(reader: SectionReader, limits: DocumentLimits, problems: Problems): RetainedConfig {
  const config: RetainedConfig = {
    enabled: reader.boolean('enabled', false),
    allowRetained: reader.boolean('allow-retained', true),
    allowedTopics: readTopics(reader, 'allowed-topics', limits.topics, problems),
    blockedTopics: readTopics(reader, 'blocked-topics', limits.topics, problems),
    maxSize: reader.integer('max-size', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? null,
  }
  reader.done()
  return config
}
