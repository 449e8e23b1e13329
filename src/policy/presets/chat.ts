import type { PresetSource } from './preset-source.ts'

const ann = { sub: 'ann', claims: { rooms: ['red', 'blue'] } }

export const chat: PresetSource = {
  description:
    'Members of a room (claim rooms) talk in it and show their presence; everybody receives direct messages, sent under the own name.',
  namespace: '',
  write: ({ topic, rule }) => ({
    default: 'deny',
    rules: [
      {
        id: 'rooms',
        effect: 'allow',
        actions: ['publish', 'subscribe', 'receive'],
        topics: [rule('chat/${claims.rooms[]}/#'), rule('presence/${claims.rooms[]}')],
      },
      {
        id: 'direct-messages',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: [rule('dm/${sub|enc}/#')],
      },
      {
        id: 'send-under-own-name',
        effect: 'allow',
        actions: ['publish'],
        topics: [rule('dm/+/in/${sub|enc}')],
        retain: 'forbid',
      },
    ],
    tests: [
      { name: 'a member talks in a room', as: ann, do: 'publish', topic: topic('chat/red/general'), expect: 'allow' },
      { name: 'a member shows presence', as: ann, do: 'publish', topic: topic('presence/blue'), expect: 'allow' },
      {
        name: 'a direct message is sent under the own name',
        as: ann,
        do: 'publish',
        topic: topic('dm/bob/in/ann'),
        expect: 'allow',
      },
      {
        name: 'direct messages are received',
        as: { sub: 'bob' },
        do: 'subscribe',
        topic: topic('dm/bob/#'),
        expect: 'allow',
      },
      { name: 'a room is for its members', as: ann, do: 'subscribe', topic: topic('chat/green/#'), expect: 'deny' },
      {
        name: 'nobody listens to every room',
        as: ann,
        do: 'subscribe',
        topic: topic('chat/+/general'),
        expect: 'deny',
      },
      {
        name: 'nobody sends under another name',
        as: ann,
        do: 'publish',
        topic: topic('dm/bob/in/eve'),
        expect: 'deny',
      },
      {
        name: 'direct messages of others stay closed',
        as: ann,
        do: 'subscribe',
        topic: topic('dm/bob/#'),
        expect: 'deny',
      },
    ],
  }),
}
