import type { RuleDocument, TestDocument } from '../document.ts'
import { toolRules, toolTests } from './agent-tools.ts'
import type { PresetSource } from './preset-source.ts'

const isAgent = { 'claims.agent_id': { exists: true } } as const

type At = Parameters<PresetSource['write']>[0]

function agentRules({ rule }: At): RuleDocument[] {
  return [
    {
      id: 'own-card-and-status',
      description: 'Retained, so that peers find it; the status is also the Will.',
      effect: 'allow',
      actions: ['publish'],
      topics: [rule('agents/${claims.agent_id}/card'), rule('agents/${claims.agent_id}/status')],
      retain: 'require',
    },
    {
      id: 'peers',
      effect: 'allow',
      when: isAgent,
      actions: ['subscribe', 'receive'],
      topics: [rule('agents/+/card'), rule('agents/+/status')],
    },
    {
      id: 'send-tasks',
      effect: 'allow',
      when: isAgent,
      actions: ['publish'],
      topics: [rule('tasks/+/inbox')],
      retain: 'forbid',
    },
    {
      id: 'own-inbox',
      effect: 'allow',
      actions: ['subscribe', 'receive'],
      topics: [rule('tasks/${claims.agent_id}/inbox')],
    },
    {
      id: 'publish-results',
      effect: 'allow',
      when: isAgent,
      actions: ['publish'],
      topics: [rule('tasks/${claims.agent_id}/results'), rule('tasks/+/result')],
      retain: 'forbid',
    },
    {
      id: 'read-results',
      description: 'The captures keep wildcards out: a result is read by who knows the task or the agent.',
      effect: 'allow',
      when: isAgent,
      actions: ['subscribe', 'receive'],
      topics: [rule('tasks/+:agent/results'), rule('tasks/+:task/result')],
    },
  ]
}

const scout = { claims: { agent_id: 'scout' } }

function agentTests({ topic }: At): TestDocument[] {
  return [
    {
      name: 'an agent shows its card',
      as: scout,
      do: 'publish',
      topic: topic('agents/scout/card'),
      qos: 1,
      retain: true,
      expect: 'allow',
    },
    {
      name: 'the status is the Will',
      as: scout,
      do: 'will',
      topic: topic('agents/scout/status'),
      qos: 1,
      retain: true,
      expect: 'allow',
    },
    { name: 'a card is retained', as: scout, do: 'publish', topic: topic('agents/scout/card'), expect: 'deny' },
    {
      name: 'nobody shows the card of another',
      as: scout,
      do: 'publish',
      topic: topic('agents/planner/card'),
      retain: true,
      expect: 'deny',
    },
    { name: 'peers are found', as: scout, do: 'subscribe', topic: topic('agents/+/card'), expect: 'allow' },
    {
      name: 'a task is sent to an agent',
      as: scout,
      do: 'publish',
      topic: topic('tasks/planner/inbox'),
      qos: 1,
      expect: 'allow',
    },
    {
      name: 'an agent reads its inbox',
      as: scout,
      do: 'subscribe',
      topic: topic('tasks/scout/inbox'),
      expect: 'allow',
    },
    {
      name: 'an inbox is for its agent',
      as: scout,
      do: 'subscribe',
      topic: topic('tasks/planner/inbox'),
      expect: 'deny',
    },
    {
      name: 'who has done a task says so',
      as: scout,
      do: 'publish',
      topic: topic('tasks/scout/results'),
      qos: 1,
      expect: 'allow',
    },
    {
      name: 'who delegated reads the result',
      as: scout,
      do: 'subscribe',
      topic: topic('tasks/t-1/result'),
      expect: 'allow',
    },
    { name: 'nobody reads every result', as: scout, do: 'subscribe', topic: topic('tasks/+/result'), expect: 'deny' },
    {
      name: 'a stranger has nothing',
      as: { clientId: 'c1' },
      do: 'subscribe',
      topic: topic('agents/+/card'),
      expect: 'deny',
    },
  ]
}

export const agents: PresetSource = {
  description:
    'Agents (claim agent_id) show cards, exchange tasks and call tools of MCP servers (claims server_id, tool_id), each under the own name.',
  namespace: 'a2a/v1',
  write: (at) => ({
    default: 'deny',
    rules: [...agentRules(at), ...toolRules(at)],
    tests: [...agentTests(at), ...toolTests(at)],
  }),
}
