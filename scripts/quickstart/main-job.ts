import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type HybridCryptoEnvelope, type Integration, Sealwire, SealwireError } from '#src/sdk/index.ts'
import { type Account, makeAccount, readAccount } from './account.ts'
import type { Broker } from './broker.ts'
import type { Screen } from './screen.ts'

const NAME = 'quickstart'
const COLLECT_MS = 3_000

export interface Place {
  baseUrl: string
  dataDir: string
}

/** Does what an application does with Sealwire, a step at a time. Throws StepError at the first one that fails. */
export async function doMainJob(screen: Screen, place: Place, broker: Broker): Promise<Integration> {
  const account = await screen.step('Enrol a recipient', () => enrol(place))
  const client = new Sealwire({ baseUrl: place.baseUrl, ...account })
  const integration = await prepareIntegration(screen, client, broker)
  const topic = `quickstart/${randomBytes(4).toString('hex')}/temperature`
  const message = (20 + Math.random() * 5).toFixed(1)
  const to = { integrationId: integration.id, topic }

  const published = await screen.step('Publish', async () => {
    const { result, envelope } = await client.proxy.publish({ ...to, message, qos: 1, retain: true })
    assert.equal(result.outcome, 'acknowledged', 'The broker did not acknowledge the message.')
    return [`${message} to ${topic}, acknowledged by the broker`, envelope]
  })
  await screen.step('Receive it back', async () => {
    const { result } = await client.proxy.subscribe({ ...to, qos: 1, maxMessages: 1, waitMs: COLLECT_MS })
    const [received] = result.messages
    if (received === undefined)
      throw new Error(`The broker acknowledged the message, and delivered nothing in ${COLLECT_MS / 1000} s.`)
    assert.equal(received.message, message, 'The broker delivered something else.')
    return [`${received.message} from ${received.topic}`, undefined]
  })
  await screen.step('Verify both signatures, and decrypt', async () => {
    const { header, answer } = await client.encryption.decrypt(published)
    assert.ok(answer.success, 'The envelope holds a refusal.')
    return [`ML-DSA-65 and HMAC-SHA-512 hold, ML-KEM-768 opens it: ${header.rid}`, undefined]
  })
  await screen.step('Refuse a changed copy', () => refuseChanged(client, published))
  await screen.step('Take the message back', async () => {
    await client.proxy.publish({ ...to, message: '', qos: 1, retain: true })
    return ['the broker keeps nothing of it', undefined]
  })
  return integration
}

async function enrol({ baseUrl, dataDir }: Place): Promise<readonly [string, Account]> {
  const known = await readAccount(dataDir)
  if (known !== undefined) return [`${known.recipient.recipientId}, kept from an earlier run`, known]
  const made = await makeAccount(baseUrl, dataDir)
  return [`${made.recipient.recipientId}; its private key stays on this side`, made]
}

/** First run: seal and create. Later: the integration is there, and its credential is rotated to the broker of this run. */
async function prepareIntegration(screen: Screen, client: Sealwire, broker: Broker): Promise<Integration> {
  const config = { topics: ['quickstart/#'], protocol: broker.protocol }
  const found = await screen.step('List integrations', async () => {
    const all = await client.integrations.list()
    const words = all.map(({ id, name }) => `${id} (${name})`).join(', ') || 'none yet'
    return [words, all.find(({ name }) => name === NAME)]
  })
  if (found !== undefined) {
    return screen.step('Rotate its credentials', async () => {
      const { version } = await client.vault.rotate(found.credentialId, broker.credential)
      const same = found.config.protocol === broker.protocol
      const integration = same ? found : await client.integrations.update(found, { config })
      return [`version ${version}; the integration stays as it is`, integration]
    })
  }
  const entry = await screen.step("Seal the broker's credentials", async () => {
    const sealed = await client.vault.seal({ name: NAME, credentialType: 'custom_kv', values: broker.credential })
    return [`${sealed.id}, ${sealed.algorithm}`, sealed]
  })
  return screen.step('Create an integration', async () => {
    const integration = await client.integrations.create({
      name: NAME,
      systemType: 'mqtt',
      credentialId: entry.id,
      allowedOperations: ['publish', 'subscribe'],
      config,
    })
    return [`${integration.id}, may publish and subscribe to quickstart/#`, integration]
  })
}

async function refuseChanged(client: Sealwire, envelope: HybridCryptoEnvelope): Promise<readonly [string, undefined]> {
  const data = envelope.encrypted.ciphertext_data
  const middle = Math.floor(data.length / 2)
  const other = data[middle] === 'A' ? 'B' : 'A' // one bit apart in base64
  const changed = `${data.slice(0, middle)}${other}${data.slice(middle + 1)}`
  await assert.rejects(
    client.encryption.decrypt({ ...envelope, encrypted: { ...envelope.encrypted, ciphertext_data: changed } }),
    (err) => err instanceof SealwireError && err.code === 'envelope.rejected',
  )
  return ['envelope.rejected, as it should be', undefined]
}
