import type { PresetSource } from './preset-source.ts'

export const blank: PresetSource = {
  description: 'Clients connect, and nothing else is allowed until there are rules.',
  namespace: '',
  write: ({ topic }) => ({
    default: 'deny',
    rules: [],
    tests: [
      { name: 'a client connects', as: { clientId: 'c1' }, do: 'connect', expect: 'allow' },
      { name: 'nobody publishes', as: { clientId: 'c1' }, do: 'publish', topic: topic('a'), expect: 'deny' },
      { name: 'nobody subscribes', as: { clientId: 'c1' }, do: 'subscribe', topic: topic('a'), expect: 'deny' },
    ],
  }),
}
