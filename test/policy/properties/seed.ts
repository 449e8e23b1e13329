/** The seed of this run: `SEALWIRE_SEED` repeats one that failed, else it is a new one. */
export function propertySeed(): number {
  const given = process.env['SEALWIRE_SEED']
  if (given === undefined) return Math.floor(Math.random() * 2 ** 31)
  const seed = Number(given)
  if (!Number.isInteger(seed)) throw new Error(`SEALWIRE_SEED takes a whole number, not ${given}`)
  return seed
}
