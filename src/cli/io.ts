/** Where a command reads and writes. Results go to `out`, words for people to `err`. */
export interface Io {
  out(line: string): void
  /** Resolves when there is room for more after `out`; to be awaited where there may be any number of lines. */
  drained(): Promise<void>
  err(line: string): void
  /** All of standard input, at most `maxBytes`. */
  stdin(maxBytes: number): Promise<Uint8Array>
  /** Standard input as it comes. */
  stdinChunks(): AsyncIterable<Uint8Array>
  env: Readonly<Record<string, string | undefined>>
  /** Aborts when the person interrupts. */
  signal: AbortSignal
}

/**
 * Makes text of others (a broker's reason, a name, a message) safe for a terminal: control characters and those that turn
 * the direction of writing become `\u{…}`. Line ends stay.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => {
      return `\\u{${character.charCodeAt(0).toString(16)}}`
    },
  )
}

/** A mistake in how a command was called: exit code 2. */
export class MisuseError extends Error {
  override readonly name = 'MisuseError'
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}
