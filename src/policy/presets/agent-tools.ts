import type { RuleDocument, TestDocument } from '../document.ts'
import type { PresetSource } from './preset-source.ts'

type At = Parameters<PresetSource['write']>[0]

const isAgent = { 'claims.agent_id': { exists: true } } as const
/** The agents that may call tools; to be replaced by those of the deployment. */
const isCaller = { 'claims.agent_id': { in: ['orchestrator'] } } as const
const scout = { claims: { agent_id: 'scout' } }
const orchestrator = { claims: { agent_id: 'orchestrator' } }
const server = { claims: { server_id: 's1', tool_id: 'query' } }

/** Servers show themselves and their tools, and listed agents call them. */
export function toolRules({ rule }: At): RuleDocument[] {
  return [
    {
      id: 'own-server-and-tool-cards',
      effect: 'allow',
      actions: ['publish'],
      topics: [rule('mcp/servers/${claims.server_id}/card'), rule('mcp/tools/${claims.tool_id}/card')],
      retain: 'require',
    },
    {
      id: 'discover-servers-and-tools',
      effect: 'allow',
      when: isAgent,
      actions: ['subscribe', 'receive'],
      topics: [rule('mcp/servers/+/card'), rule('mcp/tools/+/card')],
    },
    {
      id: 'call-tools',
      description: 'List the agents that may call.',
      effect: 'allow',
      when: isCaller,
      actions: ['publish'],
      topics: [rule('mcp/tools/+/call')],
      retain: 'forbid',
    },
    {
      id: 'serve-calls',
      effect: 'allow',
      actions: ['subscribe', 'receive'],
      topics: [rule('mcp/tools/${claims.tool_id}/call')],
      shareGroups: ['mcp-tool-${claims.tool_id}'],
    },
    {
      id: 'answer-callers',
      effect: 'allow',
      when: { 'claims.server_id': { exists: true } },
      actions: ['publish'],
      topics: [rule('mcp/clients/+/responses')],
      retain: 'forbid',
    },
    {
      id: 'own-responses',
      effect: 'allow',
      actions: ['subscribe', 'receive'],
      topics: [rule('mcp/clients/${claims.agent_id}/responses')],
    },
    {
      id: 'stream-answers',
      effect: 'allow',
      actions: ['publish'],
      topics: [rule('mcp/tools/${claims.tool_id}/stream/+')],
      retain: 'forbid',
    },
    {
      id: 'read-streams',
      effect: 'allow',
      when: isCaller,
      actions: ['subscribe', 'receive'],
      topics: [rule('mcp/tools/+:tool/stream/+:call')],
    },
  ]
}

export function toolTests({ topic }: At): TestDocument[] {
  const calls = topic('mcp/tools/query/call')
  return [
    { name: 'a listed agent calls a tool', as: orchestrator, do: 'publish', topic: calls, qos: 1, expect: 'allow' },
    {
      name: 'an agent that is not listed calls nothing',
      as: scout,
      do: 'publish',
      topic: calls,
      qos: 1,
      expect: 'deny',
    },
    {
      name: 'the server of a tool shares its calls',
      as: server,
      do: 'subscribe',
      topic: `$share/mcp-tool-query/${calls}`,
      expect: 'allow',
    },
    {
      name: 'calls are taken in the group of the tool alone',
      as: server,
      do: 'subscribe',
      topic: calls,
      expect: 'deny',
    },
    {
      name: 'a server shows its card',
      as: server,
      do: 'publish',
      topic: topic('mcp/servers/s1/card'),
      retain: true,
      expect: 'allow',
    },
    { name: 'tools are found', as: scout, do: 'subscribe', topic: topic('mcp/tools/+/card'), expect: 'allow' },
    { name: 'a tool streams', as: server, do: 'publish', topic: topic('mcp/tools/query/stream/7'), expect: 'allow' },
    {
      name: 'the caller reads the stream',
      as: orchestrator,
      do: 'subscribe',
      topic: topic('mcp/tools/query/stream/7'),
      expect: 'allow',
    },
    {
      name: 'a server answers',
      as: server,
      do: 'publish',
      topic: topic('mcp/clients/orchestrator/responses'),
      expect: 'allow',
    },
    {
      name: 'an agent reads its answers',
      as: orchestrator,
      do: 'subscribe',
      topic: topic('mcp/clients/orchestrator/responses'),
      expect: 'allow',
    },
    {
      name: 'answers are for their agent',
      as: scout,
      do: 'subscribe',
      topic: topic('mcp/clients/+/responses'),
      expect: 'deny',
    },
  ]
}
