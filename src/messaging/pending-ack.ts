import type { Packet } from 'mqtt-packet'

/** What the broker still has to say about one message of QoS 1 or 2. */
export interface PendingAck {
  /** `pubcomp`: the broker has the message, and says so once more. */
  next: 'puback' | 'pubrec' | 'pubcomp'
  /** Of the PUBACK or PUBREC. */
  reasonCode: number
}

/** Packets that only clients send (OASIS MQTT 5.0 §2.1.2). */
const FROM_CLIENTS: ReadonlySet<string> = new Set(['connect', 'subscribe', 'unsubscribe', 'pingreq'])

export function pendingAck(qos: 1 | 2): PendingAck {
  return { next: qos === 1 ? 'puback' : 'pubrec', reasonCode: 0 }
}

/**
 * `stray`: answers nothing that is on its way, and changes nothing. `forbidden`: no broker may send it here, and nothing that
 * this connection says can be believed any more.
 */
export type PacketKind = 'due' | 'stray' | 'forbidden'

/**
 * Notes what a packet says about a message, before mqtt.js acts on it: mqtt.js takes any acknowledgement for any QoS.
 *
 * @see OASIS MQTT 5.0 §4.3.2, §4.3.3 (which packet answers which QoS), §3.3.2.1 (topic names hold no wildcards)
 */
export function takePacket(pending: ReadonlyMap<number, PendingAck>, packet: Packet): PacketKind {
  // An empty topic stands for an alias, and none was granted.
  if (packet.cmd === 'publish') return packet.topic === '' || /[+#\0]/.test(packet.topic) ? 'forbidden' : 'due'
  if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp')
    return FROM_CLIENTS.has(packet.cmd) ? 'forbidden' : 'due'
  const ack = pending.get(packet.messageId ?? 0)
  if (!ack || (packet.cmd === 'pubrec' && ack.next === 'pubcomp')) return 'stray'
  if (packet.cmd !== ack.next) return 'forbidden'
  const reasonCode = packet.reasonCode ?? 0
  if (packet.cmd !== 'pubcomp') ack.reasonCode = reasonCode
  if (packet.cmd === 'pubrec' && reasonCode < 0x80) ack.next = 'pubcomp'
  return 'due'
}
