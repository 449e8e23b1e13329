// A process of its own that publishes once on each of many integrations: `connect-many.ts HOST PORT COUNT`.
import { createMessaging, integrationAt } from './harness.ts'

const [hostname = '', port = '', count = ''] = process.argv.slice(2)
await using messaging = createMessaging({ maxConnections: 1_000, connectTimeoutMs: 20_000 })
const integrations = Array.from({ length: Number(count) }, () => integrationAt(messaging, hostname, Number(port)))
const deadlineMs = messaging.clock.monotonic() + 25_000
await Promise.all(integrations.map((one) => messaging.send(one, { topic: 'a', deadlineMs })))
