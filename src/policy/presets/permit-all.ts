import type { PresetSource } from './preset-source.ts'

export const permitAll: PresetSource = {
  description: 'Everybody publishes and subscribes everything but the topics that begin with $. For trying out.',
  namespace: '',
  write: ({ topic, rule }) => ({
    default: 'deny',
    rules: [{ id: 'everything', effect: 'allow', actions: ['publish', 'subscribe', 'receive'], topics: [rule('#')] }],
    tests: [
      { name: 'anybody publishes', as: { clientId: 'c1' }, do: 'publish', topic: topic('a/b'), expect: 'allow' },
      {
        name: 'anybody subscribes all of it',
        as: { clientId: 'c1' },
        do: 'subscribe',
        topic: topic('#'),
        expect: 'allow',
      },
      { name: 'nobody reads the broker', as: { clientId: 'c1' }, do: 'subscribe', topic: '$SYS/#', expect: 'deny' },
    ],
  }),
}
