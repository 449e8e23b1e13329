import type { PresetSource } from './preset-source.ts'

export const notifications: PresetSource = {
  description: 'Services publish notifications; every user reads the own ones and the broadcast.',
  namespace: '',
  write: ({ topic, rule }) => ({
    default: 'deny',
    rules: [
      {
        id: 'services-publish',
        effect: 'allow',
        when: { type: ['service'] },
        actions: ['publish'],
        topics: [rule('notifications/#')],
      },
      {
        id: 'own',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: [rule('notifications/${sub|enc}/#')],
      },
      {
        id: 'broadcast',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: [rule('notifications/broadcast/#')],
      },
    ],
    tests: [
      {
        name: 'a service notifies a user',
        as: { type: 'service', sub: 's1' },
        do: 'publish',
        topic: topic('notifications/u1/mail'),
        expect: 'allow',
      },
      {
        name: 'a user reads the own notifications',
        as: { type: 'user', sub: 'u1' },
        do: 'subscribe',
        topic: topic('notifications/u1/#'),
        expect: 'allow',
      },
      {
        name: 'everybody reads the broadcast',
        as: { type: 'user', sub: 'u1' },
        do: 'subscribe',
        topic: topic('notifications/broadcast/news'),
        expect: 'allow',
      },
      {
        name: 'a user does not read those of another',
        as: { type: 'user', sub: 'u1' },
        do: 'subscribe',
        topic: topic('notifications/u2/#'),
        expect: 'deny',
      },
      {
        name: 'a name that is a wildcard opens nothing',
        as: { type: 'user', sub: '+' },
        do: 'subscribe',
        topic: topic('notifications/u2/mail'),
        expect: 'deny',
      },
      {
        name: 'a user does not notify',
        as: { type: 'user', sub: 'u1' },
        do: 'publish',
        topic: topic('notifications/u1/mail'),
        expect: 'deny',
      },
    ],
  }),
}
