import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readProfile } from '../../scripts/bench/signing/profile.ts'

const frame = (functionName: string, url = '') => ({ functionName, url })

test('a profile counts a sample for the nearest caller that is named, leaves out idling and what came before, and divides by requests', () => {
  const nodes = [
    { id: 1, children: [2, 4, 5, 6], callFrame: frame('(root)') },
    { id: 2, children: [3], callFrame: frame('sealEnvelope', 'file:///x/src/envelope/seal.ts') },
    { id: 3, callFrame: frame('encapsulate', 'node:internal/crypto/kem') },
    { id: 4, callFrame: frame('(idle)') },
    { id: 5, callFrame: frame('(garbage collector)') },
    { id: 6, callFrame: frame('processTimers', 'node:internal/timers') },
  ]
  const samples = [3, 3, 4, 5, 6, 2]
  const timeDeltas = [1_000_000, 300, 5_000, 200, 100, 500]
  assert.deepEqual(readProfile({ nodes, samples, timeDeltas }, 1.0001, 10), [
    { part: 'sealing: encapsulate, derive, encrypt, HMAC, base64', micros: 80 },
    { part: 'garbage collection', micros: 20 },
    { part: 'Node: sockets, streams, timers', micros: 10 },
  ])
})
