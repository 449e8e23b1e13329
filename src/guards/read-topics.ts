import type { Problems } from './problems.ts'
import { type SectionReader, textProblem } from './section-reader.ts'
import { guardFilterProblem, TopicFilters } from './topic-filters.ts'

/** The most that an MQTT packet carries. */
const MAX_FILTER_LENGTH = 65_535

/** Reads one filter of a list; `undefined` when it is none. */
export function readFilter(json: unknown, path: string, problems: Problems): string | undefined {
  const problem = textProblem(json, MAX_FILTER_LENGTH) ?? guardFilterProblem(json as string)
  if (problem === undefined) return json as string
  problems.add(path, problem)
  return undefined
}

export function readTopics(reader: SectionReader, key: string, limit: number, problems: Problems): TopicFilters {
  return new TopicFilters(reader.list(key, limit, (json, path) => readFilter(json, path, problems)))
}

/** Reads the member `topic` of an entry of `per-topic`. */
export function readTopic(reader: SectionReader, problems: Problems): string | undefined {
  reader.require('topic')
  const topic = reader.value('topic')
  return topic === undefined ? undefined : readFilter(topic, reader.at('topic'), problems)
}
