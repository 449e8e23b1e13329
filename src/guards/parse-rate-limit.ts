import type { Limit, RateLimitConfig } from './guards-config.ts'
import type { DocumentLimits } from './parse-limits.ts'
import type { Problems } from './problems.ts'
import { readTopic } from './read-topics.ts'
import { SectionReader } from './section-reader.ts'

const COUNT = { min: 0, max: 4_294_967_295 }
const BYTES = { min: 0, max: Number.MAX_SAFE_INTEGER }
const DEFAULT_BURST = 10

function parseLimit(reader: SectionReader): Limit {
  reader.require('messages-per-second')
  const messagesPerSecond = reader.integer('messages-per-second', COUNT) ?? 0
  const bytesPerSecond = reader.integer('bytes-per-second', BYTES) ?? 0
  const burst = Math.max(1, reader.integer('burst', COUNT) ?? DEFAULT_BURST)
  reader.done()
  return { messagesPerSecond, bytesPerSecond, burst }
}

function parseLimitIfPresent(reader: SectionReader, key: string): Limit | null {
  const limit = reader.sectionIfPresent(key)
  return limit ? parseLimit(limit) : null
}

export function parseRateLimit(reader: SectionReader, limits: DocumentLimits, problems: Problems): RateLimitConfig {
  const config: RateLimitConfig = {
    enabled: reader.boolean('enabled', false),
    global: parseLimitIfPresent(reader, 'global'),
    perClient: parseLimitIfPresent(reader, 'per-client'),
    perTopic: reader.list('per-topic', limits.topics, (json, path) => {
      const entry = new SectionReader(json, path, problems)
      const topic = readTopic(entry, problems)
      entry.require('limit')
      const limit = parseLimitIfPresent(entry, 'limit')
      entry.done()
      return topic === undefined || limit === null ? undefined : { topic, limit }
    }),
    keyBy: reader.word('key-by', ['client_id', 'username', 'client_ip']) ?? 'client_id',
  }
  reader.done()
  return config
}
