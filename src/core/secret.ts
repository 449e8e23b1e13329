const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/**
 * Holds a value that must never be printed: JSON, templates, `console.log` and loggers see `[secret]`.
 * `reveal()` belongs on the line that uses the value.
 */
export class Secret<T = string> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [INSPECT](): string {
    return '[secret]'
  }
}
