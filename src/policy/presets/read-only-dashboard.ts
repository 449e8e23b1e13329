import type { PresetSource } from './preset-source.ts'

const viewer = { type: 'user', sub: 'u1' }

export const readOnlyDashboard: PresetSource = {
  description:
    'Everybody who has signed in subscribes # and sees all but what is private; nobody publishes. Needs a check of every delivery.',
  namespace: '',
  write: ({ topic, rule }) => ({
    default: 'deny',
    options: { subscribe: 'filtered' },
    rules: [
      {
        id: 'see-everything',
        effect: 'allow',
        when: { sub: { exists: true } },
        actions: ['subscribe', 'receive'],
        topics: [rule('#')],
      },
      { id: 'but-not-private', effect: 'deny', actions: ['subscribe', 'receive'], topics: [rule('private/#')] },
    ],
    tests: [
      {
        name: 'a dashboard subscribes everything',
        as: viewer,
        do: 'subscribe',
        topic: topic('#'),
        expect: { decision: 'allow', reason: 'filtered' },
      },
      { name: 'what is open is delivered', as: viewer, do: 'receive', topic: topic('plant/temp'), expect: 'allow' },
      {
        name: 'what is private is not delivered',
        as: viewer,
        do: 'receive',
        topic: topic('private/salaries'),
        expect: 'deny',
      },
      {
        name: 'what is private is not subscribed by name',
        as: viewer,
        do: 'subscribe',
        topic: topic('private/#'),
        expect: 'deny',
      },
      { name: 'a dashboard does not publish', as: viewer, do: 'publish', topic: topic('plant/temp'), expect: 'deny' },
      { name: 'a stranger sees nothing', as: { clientId: 'c1' }, do: 'subscribe', topic: topic('#'), expect: 'deny' },
    ],
  }),
}
