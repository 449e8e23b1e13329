import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRole, isScope, isWithinRole, roles, scopes, scopesOf } from '#src/tenants/principal.ts'

const table = {
  viewer: ['audit:read', 'integrations:read', 'policies:read', 'vault:read'],
  editor: [
    'encryption:use',
    'integrations:write',
    'proxy:publish',
    'proxy:subscribe',
    'recipients:enroll',
    'vault:write',
  ],
  admin: ['keys:manage', 'policies:write', 'vault:unseal'],
  owner: [],
}

test('scopesOf: each role has its own scopes and those of the lesser roles, nothing else', () => {
  const expected: string[] = []
  assert.equal(roles.length, 4)
  for (const role of roles) {
    expected.push(...table[role])
    assert.deepEqual([...scopesOf(role)].sort(), [...expected].sort(), role)
  }
  assert.equal(scopes.size, 13)
})

test('isWithinRole orders the roles', () => {
  assert.deepEqual(
    roles.map((role) => isWithinRole(role, 'editor')),
    [true, true, false, false],
  )
})

test('words of another case or kind are no roles and no scopes', () => {
  for (const word of ['Owner', 'root', '', '__proto__', 'vault:*']) assert.equal(isRole(word) || isScope(word), false)
  assert.equal(isRole('owner') && isScope('vault:read'), true)
})
