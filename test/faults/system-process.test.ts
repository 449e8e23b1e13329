import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { auditRows, callerOf, integrate, publish, startStack } from './system-parts.ts'

const linux = process.platform === 'linux'

test('F31: no descriptors left: who has a connection is served, others are turned away, nothing crashes, and all is well afterwards', {
  skip: !linux && 'prlimit is of Linux',
}, async () => {
  const broker = await startFakeBroker()
  const other = await startFakeBroker()
  const said: string[] = []
  const stack = await startStack({}, { said: (text) => said.push(text) })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const strangers: Socket[] = []
  const { hostname, port } = new URL(stack.server.url)
  const pid = String(stack.server.child.pid)
  /** A publish on the one connection that stays open. */
  const onSession = (integrationId: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const body = JSON.stringify({
        integration_id: integrationId,
        operation: 'publish',
        payload: { message: 'x', qos: 1 },
      })
      const headers = { 'x-api-key': stack.key, 'content-type': 'application/json' }
      const req = request({ agent, hostname, port, method: 'POST', path: '/api/v2/proxy/outbound', headers }, (res) => {
        res.resume()
        res.once('end', () => resolve(res.statusCode))
      })
      req.once('error', reject)
      req.end(body)
    })
  try {
    const { integrationId } = await integrate(stack.call, broker.port)
    const unconnected = await integrate(stack.call, other.port)
    assert.equal(await onSession(integrationId), 200)
    const open = readdirSync(`/proc/${pid}/fd`).length
    const usual = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? ''
    const limit = open + 6
    execFileSync('prlimit', ['--pid', pid, `--nofile=${limit}:`])
    let turnedAway = 0
    for (let i = 0; i < 60; i++) {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => undefined)
      socket.on('close', () => turnedAway++)
      strangers.push(socket)
    }
    for (let i = 0; i < 10; i++) assert.equal(await onSession(integrationId), 200)
    assert.ok(readdirSync(`/proc/${pid}/fd`).length >= limit - 1, 'descriptors were left')
    assert.equal(await onSession(unconnected.integrationId), 503, 'a broker that needs a socket')
    assert.equal(other.packetsOf('publish').length, 0)
    assert.ok(turnedAway > 0, 'everybody found a place')
    assert.equal(stack.server.child.exitCode, null)

    for (const socket of strangers) socket.destroy()
    execFileSync('prlimit', ['--pid', pid, `--nofile=${usual}:`])
    const sinceMs = performance.now()
    let status: number | undefined
    while (status !== 200 && performance.now() - sinceMs < patience(5_000))
      status = (await publish(stack.call, unconnected.integrationId).catch(() => undefined))?.status
    assert.equal(status, 200)
    assert.ok((await auditRows(stack.sql)).filter(({ outcome }) => outcome === 'failure').length > 0)
    assert.doesNotMatch(said.join(''), /unexpected failure|uncaught/i)
  } finally {
    agent.destroy()
    for (const socket of strangers) socket.destroy()
    await stack.close()
    await broker.stop()
    await other.stop()
  }
})

test('F39: two processes with one integration have two client ids at the broker, and neither takes the session of the other', async () => {
  const broker = await startMosquitto()
  const stack = await startStack()
  try {
    const second = await stack.another()
    const call = callerOf(
      () => second.url,
      () => stack.key,
    )
    const { integrationId } = await integrate(stack.call, broker.ports.tcp)
    for (let i = 0; i < 25; i++) {
      const answers = await Promise.all([publish(stack.call, integrationId), publish(call, integrationId)])
      assert.deepEqual(
        answers.map(({ status }) => status),
        [202, 202],
      )
    }
    await broker.logged('Sending PUBACK')
    const ids = [...broker.log().matchAll(/New client connected from \S+ as (\S+) /g)].map(([, id]) => id)
    assert.equal(ids.length, 2)
    assert.equal(new Set(ids).size, 2)
    assert.doesNotMatch(broker.log(), /already connected|session taken over/i)
  } finally {
    await stack.close()
    await broker.stop()
  }
})
