import type { PresetSource } from './preset-source.ts'

const edge = { claims: { group_id: 'plant', edge_node_id: 'e1' } }
const host = { type: 'application', clientId: 'scada' }
const own = '${claims.edge_node_id}'
const group = '${claims.group_id}'

/** @see Eclipse Sparkplug 3.0, sections 4 (topics) and 5.7 (STATE of a host application) */
export const sparkplug: PresetSource = {
  description:
    'Sparkplug B: edge nodes (claims group_id, edge_node_id) send births, data and deaths under the own name; host applications see and command all.',
  namespace: 'spBv1.0',
  write: ({ topic, rule }) => ({
    default: 'deny',
    rules: [
      {
        id: 'edge-node-sends',
        description: 'The death of the node is its Will. Nothing of this is retained.',
        effect: 'allow',
        actions: ['publish'],
        topics: [
          ...['NBIRTH', 'NDATA', 'NDEATH'].map((type) => rule(`${group}/${type}/${own}`)),
          ...['DBIRTH', 'DDATA', 'DDEATH'].map((type) => rule(`${group}/${type}/${own}/+`)),
        ],
        retain: 'forbid',
      },
      {
        id: 'edge-node-gets',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: [rule(`${group}/NCMD/${own}`), rule(`${group}/DCMD/${own}/#`)],
      },
      {
        id: 'state-of-hosts',
        effect: 'allow',
        when: { 'claims.edge_node_id': { exists: true } },
        actions: ['subscribe', 'receive'],
        topics: [rule('STATE/+')],
      },
      {
        id: 'host-sees',
        effect: 'allow',
        when: { type: ['application'] },
        actions: ['subscribe', 'receive'],
        topics: [rule('#')],
      },
      {
        id: 'host-commands',
        effect: 'allow',
        when: { type: ['application'] },
        actions: ['publish'],
        topics: [rule('+/NCMD/+'), rule('+/DCMD/+/+')],
        retain: 'forbid',
      },
      {
        id: 'host-state',
        description: 'Online and, as the Will, offline; retained.',
        effect: 'allow',
        when: { type: ['application'] },
        actions: ['publish'],
        topics: [rule('STATE/${clientId}')],
        retain: 'require',
      },
    ],
    tests: [
      { name: 'an edge node is born', as: edge, do: 'publish', topic: topic('plant/NBIRTH/e1'), expect: 'allow' },
      { name: 'an edge node dies', as: edge, do: 'will', topic: topic('plant/NDEATH/e1'), qos: 1, expect: 'allow' },
      { name: 'a device sends data', as: edge, do: 'publish', topic: topic('plant/DDATA/e1/d1'), expect: 'allow' },
      {
        name: 'an edge node gets commands',
        as: edge,
        do: 'subscribe',
        topic: topic('plant/DCMD/e1/#'),
        expect: 'allow',
      },
      {
        name: 'an edge node knows whether its host is there',
        as: edge,
        do: 'subscribe',
        topic: topic('STATE/scada'),
        expect: 'allow',
      },
      { name: 'a host sees all', as: host, do: 'subscribe', topic: topic('#'), expect: 'allow' },
      { name: 'a host commands', as: host, do: 'publish', topic: topic('plant/NCMD/e1'), expect: 'allow' },
      {
        name: 'a host leaves its state behind',
        as: host,
        do: 'will',
        topic: topic('STATE/scada'),
        qos: 1,
        retain: true,
        expect: 'allow',
      },
      { name: 'nobody is born as another', as: edge, do: 'publish', topic: topic('plant/NBIRTH/e2'), expect: 'deny' },
      {
        name: 'a birth is not retained',
        as: edge,
        do: 'publish',
        topic: topic('plant/NBIRTH/e1'),
        retain: true,
        expect: 'deny',
      },
      { name: 'an edge node does not command', as: edge, do: 'publish', topic: topic('plant/NCMD/e1'), expect: 'deny' },
      { name: 'a host does not forge data', as: host, do: 'publish', topic: topic('plant/NDATA/e1'), expect: 'deny' },
    ],
  }),
}
