import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Colours for a terminal; plain text for anything else, and where NO_COLOR is set. */
const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stdout })
const secondsSince = (startedMs: number) => `${((performance.now() - startedMs) / 1000).toFixed(2)} s`

export interface Screen {
  say(text?: string): void
  /** Prints a headline in bold. */
  title(text: string): void
  /** Prints a command that a person may type. */
  command(text: string): void
  /**
   * Does one step and prints one line for it: its title, its time, and what it returns as words.
   *
   * @throws {StepError} that names the step
   */
  step<T>(title: string, work: () => Promise<readonly [words: string, value: T]>): Promise<T>
}

/** Which step failed; the cause says why. */
export class StepError extends Error {
  override readonly name = 'StepError'
  readonly step: string

  constructor(step: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.step = step
  }
}

/** Makes the screen of the quickstart on stdout. */
export function createScreen(): Screen {
  const out = process.stdout
  const line = (mark: string, title: string, startedMs: number, words: string) =>
    out.write(`${mark} ${title.padEnd(36)} ${paint('dim', secondsSince(startedMs).padStart(8))}  ${words}\n`)
  return {
    say: (text = '') => void out.write(`${text}\n`),
    title: (text) => void out.write(`\n${paint('bold', text)}\n\n`),
    command: (text) => void out.write(`  ${paint('cyan', text)}\n`),
    async step(title, work) {
      const startedMs = performance.now()
      const timer = out.isTTY
        ? setInterval(() => out.write(`\r${paint('dim', `… ${title.padEnd(36)} ${secondsSince(startedMs)}`)}`), 100)
        : undefined
      const clear = () => {
        clearInterval(timer)
        if (out.isTTY) out.write('\r\u001b[K')
      }
      try {
        const [words, value] = await work()
        clear()
        line(paint('green', '✓'), title, startedMs, words)
        return value
      } catch (err) {
        clear()
        line(paint('red', '✗'), title, startedMs, paint('red', 'failed'))
        throw new StepError(title, err)
      }
    },
  }
}
