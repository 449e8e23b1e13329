import { once } from 'node:events'
import { connect } from 'node:net'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'

export interface Responder {
  /** The requests that came, in order. */
  readonly requests: readonly IPublishPacket[]
  close(): void
}

/**
 * Answers requests at a broker, over MQTT 5 and with a client that shares nothing with `src/`: `answer` makes the payload of
 * the reply, `null` makes none. Resolves when its subscription is granted.
 */
export async function startResponder(
  port: number,
  filter: string,
  login: { username: string; password: string },
  answer: (request: IPublishPacket) => string | null,
): Promise<Responder> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {}) // the broker stops when the test does
  await once(socket, 'connect')
  const requests: IPublishPacket[] = []
  const send = (packet: Packet) => socket.write(generate(packet, { protocolVersion: 5 }))
  const granted = Promise.withResolvers<void>()
  const decoder = parser({ protocolVersion: 5 })
  decoder.on('packet', (packet) => {
    if (packet.cmd === 'connack') send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] })
    if (packet.cmd === 'suback') granted.resolve()
    if (packet.cmd !== 'publish') return
    requests.push(packet)
    const { responseTopic, correlationData } = packet.properties ?? {}
    const payload = answer(packet)
    if (payload === null || responseTopic === undefined) return
    send({
      cmd: 'publish',
      topic: responseTopic,
      payload,
      qos: 0,
      dup: false,
      retain: false,
      properties: { ...(correlationData && { correlationData }), userProperties: { answered: 'yes' } },
    })
  })
  socket.on('data', (chunk: Buffer) => decoder.parse(chunk))
  socket.on('close', () => granted.reject(new Error('the broker closed the connection')))
  send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clean: true,
    clientId: `responder-${process.pid}-${Math.random().toString(36).slice(2)}`,
    keepalive: 0,
    username: login.username,
    password: Buffer.from(login.password),
  })
  await granted.promise
  return { requests, close: () => socket.destroy() }
}
