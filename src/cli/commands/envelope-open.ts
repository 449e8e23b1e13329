import { open } from 'node:fs/promises'
import type { Command } from 'commander'
import { parseStrictJson } from '../../core/strict-json.ts'
import { Sealwire } from '../../sdk/index.ts'
import { addRecipientOption, findRecipient, namedServer, type RecipientOption } from '../connect.ts'
import { type Io, MisuseError, printable } from '../io.ts'

interface Options extends RecipientOption {
  baseUrl?: string
  json?: true
}

/** 16 MiB of plaintext, in base64, with its frame. */
const MAX_FILE_BYTES = 24 * 1024 * 1024
const EXAMPLES = `
Examples:
  $ sealwire envelope open answer.json
  $ curl -s -X POST "$SEALWIRE_URL/api/v2/proxy/outbound" … | sealwire envelope open -

Takes a bare envelope, a whole answer of the API, or what \`publish --json\` prints. Both signatures are verified before
anything is shown; an answer opens for 300 s after it was made.`

async function readText(io: Io, file: string): Promise<string> {
  if (file === '-') return new TextDecoder('utf-8', { fatal: true }).decode(await io.stdin(MAX_FILE_BYTES))
  await using handle = await open(file, 'r').catch((err: NodeJS.ErrnoException) => {
    throw new MisuseError(`${file}: ${err.code === 'ENOENT' ? 'no such file' : err.code}.`)
  })
  if ((await handle.stat()).size > MAX_FILE_BYTES) throw new MisuseError(`${file} is too large to be an envelope.`)
  return handle.readFile('utf8')
}

/** Finds the envelope in what people keep: the envelope, the answer with it as `data`, or the output of `publish --json`. */
function envelopeIn(text: string): unknown {
  let json: unknown
  try {
    json = parseStrictJson(text)
  } catch {
    throw new MisuseError(
      'It is not JSON.',
      'pass the answer as it came, for example with curl -s … | sealwire envelope open -',
    )
  }
  const { data, envelope } = (json ?? {}) as { data?: unknown; envelope?: unknown }
  return envelope ?? data ?? json
}

/** `sealwire envelope open FILE|-` verifies and opens a kept answer, and prints what is in it. */
export function addEnvelopeOpen(envelopes: Command, io: Io): void {
  addRecipientOption(envelopes.command('open <file>'))
    .description('verify and open an answer from a file, or from standard input with -; needs no API key')
    .option(
      '--base-url <url>',
      'where the verification keys are; default SEALWIRE_URL, else that of the recipient file',
    )
    .option('--json', 'print JSON, with the header')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: Options) => {
      const recipient = await findRecipient(io, options)
      const client = new Sealwire({ baseUrl: namedServer(io, options) ?? recipient.baseUrl, recipient })
      const envelope = envelopeIn(await readText(io, file))
      const { answer, header } = await client.encryption.decrypt(envelope, { signal: io.signal })
      io.out(options.json ? JSON.stringify({ answer, header }) : JSON.stringify(answer, null, 2))
      const { op, st, rid, iat } = header
      const made = new Date(iat * 1000).toISOString()
      io.err(printable(`verified: ML-DSA-65 and HMAC-SHA-512; ${op}, status ${st}, ${rid}, made ${made}`))
    })
}
