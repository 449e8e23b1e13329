/** `npm test` judges a change, not its luck: the same cases each time. `npm run soak -- policy` draws new ones. */
const USUAL = 20_261_128

/** The seed of this run: `SEALWIRE_SEED` repeats a run that failed, or draws other cases. */
export function propertySeed(): number {
  const given = process.env['SEALWIRE_SEED']
  if (given === undefined) return USUAL
  const seed = Number(given)
  if (!Number.isInteger(seed)) throw new Error(`SEALWIRE_SEED takes a whole number, not ${given}`)
  return seed
}
