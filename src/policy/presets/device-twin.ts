import type { PresetSource } from './preset-source.ts'

const device = { type: 'device', clientId: 'd1' }
const backend = { type: 'service', clientId: 'b1' }

export const deviceTwin: PresetSource = {
  description:
    'Each device sends telemetry and its reported state and gets commands and the desired state, by client id; services see and command all.',
  namespace: '',
  write: ({ topic, rule }) => ({
    default: 'deny',
    rules: [
      {
        id: 'device-sends',
        effect: 'allow',
        actions: ['publish'],
        topics: [
          rule('devices/${clientId}/telemetry/#'),
          rule('devices/${clientId}/twin/reported'),
          rule('devices/${clientId}/status'),
        ],
      },
      {
        id: 'device-gets',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: [rule('devices/${clientId}/commands/#'), rule('devices/${clientId}/twin/desired')],
      },
      {
        id: 'services-see',
        effect: 'allow',
        when: { type: ['service', 'application'] },
        actions: ['subscribe', 'receive'],
        topics: [rule('devices/#')],
      },
      {
        id: 'services-command',
        effect: 'allow',
        when: { type: ['service', 'application'] },
        actions: ['publish'],
        topics: [rule('devices/+/commands/#'), rule('devices/+/twin/desired')],
      },
    ],
    tests: [
      {
        name: 'a device sends telemetry',
        as: device,
        do: 'publish',
        topic: topic('devices/d1/telemetry/temp'),
        expect: 'allow',
      },
      {
        name: 'a device leaves its status behind',
        as: device,
        do: 'will',
        topic: topic('devices/d1/status'),
        retain: true,
        expect: 'allow',
      },
      {
        name: 'a device gets its commands',
        as: device,
        do: 'subscribe',
        topic: topic('devices/d1/commands/#'),
        expect: 'allow',
      },
      {
        name: 'a service commands a device',
        as: backend,
        do: 'publish',
        topic: topic('devices/d1/commands/reboot'),
        expect: 'allow',
      },
      {
        name: 'a service sees all telemetry',
        as: backend,
        do: 'subscribe',
        topic: topic('devices/+/telemetry/#'),
        expect: 'allow',
      },
      {
        name: 'a device does not send for another',
        as: device,
        do: 'publish',
        topic: topic('devices/d2/telemetry/temp'),
        expect: 'deny',
      },
      {
        name: 'a device does not command',
        as: device,
        do: 'publish',
        topic: topic('devices/d2/commands/reboot'),
        expect: 'deny',
      },
      {
        name: 'a device does not set its desired state',
        as: device,
        do: 'publish',
        topic: topic('devices/d1/twin/desired'),
        expect: 'deny',
      },
      {
        name: 'a client id that is a wildcard opens nothing',
        as: { type: 'device', clientId: '#' },
        do: 'subscribe',
        topic: topic('devices/#'),
        expect: 'deny',
      },
    ],
  }),
}
