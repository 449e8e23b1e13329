// The peer of the benchmark: the shortest HTTP to MQTT relay that one writes with the same libraries. It holds the broker's
// credentials in a variable, and neither authenticates, records, seals nor signs anything.
import type { AddressInfo } from 'node:net'
import express from 'express'
import mqtt from 'mqtt'

const client = await mqtt.connectAsync(process.env['BROKER_URL'] ?? '', { protocolVersion: 5 })
const app = express().use(express.json())
app.post('/publish', async (req, res) => {
  const { topic, message, qos } = req.body as { topic: string; message: string; qos: 0 | 1 | 2 }
  await client.publishAsync(topic, message, { qos })
  res.json({ success: true, data: { topic, qos } })
})
const server = app.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` })}\n`)
})
