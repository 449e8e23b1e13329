import { once } from 'node:events'
import { connect } from 'node:net'
import mqttPacket from 'mqtt-packet'

export interface Seen {
  topic: string
  payload: Buffer
}

/**
 * Subscribes at a broker with a client that shares nothing with `src/`, and resolves when the subscription is granted;
 * `message` is the first that arrives.
 */
export async function subscribeOnce(
  port: number,
  filter: string,
  login: { username: string; password: string },
): Promise<{ message: Promise<Seen> }> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const parser = mqttPacket.parser({ protocolVersion: 4 })
  socket.on('data', (chunk: Buffer) => parser.parse(chunk))
  const packets = {
    next: (cmd: string) =>
      new Promise<mqttPacket.Packet>((resolve, reject) => {
        const take = (packet: mqttPacket.Packet) => {
          if (packet.cmd !== cmd) return
          parser.off('packet', take)
          resolve(packet)
        }
        parser.on('packet', take)
        socket.once('close', () => reject(new Error(`closed before ${cmd}`)))
      }),
  }
  const send = (packet: mqttPacket.Packet) => socket.write(mqttPacket.generate(packet, { protocolVersion: 4 }))
  const connack = packets.next('connack')
  send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: `watch-${process.pid}-${Math.random().toString(36).slice(2)}`,
    keepalive: 0,
    username: login.username,
    password: Buffer.from(login.password),
  })
  await connack
  const suback = packets.next('suback')
  send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] })
  await suback
  const message = packets.next('publish').then((packet) => {
    socket.destroy()
    const { topic, payload } = packet as mqttPacket.IPublishPacket
    return { topic, payload: Buffer.from(payload) }
  })
  return { message }
}
