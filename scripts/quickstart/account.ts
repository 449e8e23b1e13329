import fs from 'node:fs/promises'
import path from 'node:path'
import { parseRecipient, type Recipient, Sealwire, serialiseRecipient } from '#src/sdk/index.ts'

export interface Account {
  apiKey: string
  recipient: Recipient
}

const files = (dataDir: string) => ({
  apiKey: path.join(dataDir, 'quickstart-api-key'),
  recipient: path.join(dataDir, 'quickstart-recipient.json'),
})

/** Reads what an earlier quickstart left, or nothing unless both of its files are there. */
export async function readAccount(dataDir: string): Promise<Account | undefined> {
  const { apiKey, recipient } = files(dataDir)
  const texts = await Promise.all([apiKey, recipient].map((file) => fs.readFile(file, 'utf8').catch(ignoreMissing)))
  const [key, text] = texts
  return key === undefined || text === undefined ? undefined : { apiKey: key.trim(), recipient: parseRecipient(text) }
}

function ignoreMissing(err: NodeJS.ErrnoException): undefined {
  if (err.code !== 'ENOENT') throw err
}

/**
 * Makes an API key for an application (role editor) with the owner's key, and enrols a recipient for it: a key pair that is
 * made here, whose private part never leaves this machine. Keeps both beside the owner's key, mode 0600.
 */
export async function makeAccount(baseUrl: string, dataDir: string): Promise<Account> {
  const owner = new Sealwire({
    baseUrl,
    apiKey: (await fs.readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim(),
  })
  const { secret: apiKey } = await owner.apiKeys.create({ name: 'quickstart', role: 'editor' })
  const recipient = await new Sealwire({ baseUrl, apiKey }).recipients.enroll({ name: 'quickstart' })
  const names = files(dataDir)
  await fs.writeFile(names.recipient, serialiseRecipient(recipient), { mode: 0o600 })
  await fs.writeFile(names.apiKey, `${apiKey}\n`, { mode: 0o600 })
  return { apiKey, recipient }
}
