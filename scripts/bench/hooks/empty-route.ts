// The peer of the hooks: a route of Express that reads nothing, decides nothing and answers 200 with nothing in it.
import type { AddressInfo } from 'node:net'
import express from 'express'

const app = express()
app.post('/mqtt/acl', (_req, res) => {
  res.end()
})
const server = app.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))
