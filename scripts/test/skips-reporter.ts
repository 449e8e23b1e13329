import type { TestEvent } from 'node:test/reporters'

/** Reports one line per test that was skipped or left to do: file, name and reason as JSON. */
// The runner loads reporters by their default export.
export default async function* skipsReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const why = data.skip ?? data.todo
    if (why === undefined || why === false) continue
    yield `${JSON.stringify({ file: data.file, name: data.name, why })}\n`
  }
}
