import { InvalidArgumentError } from 'commander'

/** Reads an option that is a whole number within bounds; anything else is misuse. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It is not a whole number from ${min} to ${max}.`)
  }
}

/** Reads a QoS: 0, 1 or 2. */
export function qosOption(text: string): 0 | 1 | 2 {
  const value = wholeNumber(0, 2)(text)
  return value === 0 || value === 1 ? value : 2
}
