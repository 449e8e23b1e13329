import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import mqttPacket, { type Packet } from 'mqtt-packet'

export interface ScriptedBroker {
  port: number
  stop(): Promise<void>
}

/**
 * Starts a broker on a free loopback port that accepts every connection and acknowledges every packet. Whether it also
 * delivers what it acknowledged, as a retained message to later subscribers, is the difference between its two kinds.
 */
export async function startScriptedBroker({ delivers }: { delivers: boolean }): Promise<ScriptedBroker> {
  const sockets = new Set<Socket>()
  const retained = new Map<string, Buffer>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    let protocolVersion = 5
    const send = (packet: Packet) => socket.write(mqttPacket.generate(packet, { protocolVersion }))
    const parser = mqttPacket.parser({ protocolVersion: 5 })
    parser.on('packet', (packet) => {
      const { messageId = 0 } = packet
      if (packet.cmd === 'connect') {
        protocolVersion = packet.protocolVersion ?? 5
        send({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false })
      } else if (packet.cmd === 'publish') {
        retained.set(packet.topic, Buffer.from(packet.payload))
        if (packet.qos === 1) send({ cmd: 'puback', messageId, reasonCode: 0 })
      } else if (packet.cmd === 'subscribe') {
        send({ cmd: 'suback', messageId, granted: packet.subscriptions.map(({ qos }) => qos) })
        for (const { topic } of packet.subscriptions) {
          const payload = retained.get(topic)
          if (delivers && payload !== undefined)
            send({ cmd: 'publish', topic, payload, qos: 0, retain: true, dup: false })
        }
      } else if (packet.cmd === 'unsubscribe') {
        send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) })
      } else if (packet.cmd === 'pingreq') send({ cmd: 'pingresp' })
    })
    socket.on('data', (data: Buffer) => parser.parse(data))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}
