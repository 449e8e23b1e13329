import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

/** A port on loopback on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

export interface BlackHole {
  readonly port: number
  /** Reports whether a connection attempt is neither accepted nor refused within `ms`. */
  swallows(ms: number): Promise<boolean>
  stop(): Promise<void>
}

/** Listens in a thread that then stands still, with a queue for one: it can be filled and is never emptied. */
const LISTENER = `
const { createServer } = require('node:net')
const { parentPort, workerData } = require('node:worker_threads')
const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(workerData, 0, 0)
})`

/** More than a queue of one holds on any system; those that find no place are retried by the kernel, and never answered. */
const FILLERS = 8

/** A port whose SYNs are dropped, as behind a firewall that says nothing. Needs no privileges. */
export async function startBlackHole(): Promise<BlackHole> {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(LISTENER, { eval: true, workerData: gate })
  const [port] = (await once(worker, 'message')) as [number]
  const sockets: Socket[] = []
  const open = () => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {}) // of the end of the listener
    sockets.push(socket)
    return socket
  }
  const settles = (socket: Socket, ms: number) =>
    new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, ms, false)
      for (const event of ['connect', 'error'])
        socket.once(event, () => {
          clearTimeout(timer)
          resolve(true)
        })
    })
  const swallows = async (ms: number) => !(await settles(open(), ms))
  await Promise.all(Array.from({ length: FILLERS }, () => swallows(100)))
  return {
    port,
    swallows,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await worker.terminate()
    },
  }
}
