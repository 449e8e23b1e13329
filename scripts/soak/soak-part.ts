/** Counts of what random cases came to, by the title of what was looked at. */
export type SoakCounts = Readonly<Record<string, Readonly<Record<string, number>>>>

export interface SoakOptions {
  /** How often, where a part has no number of its own to reach. */
  readonly trials?: number
}

/** Something that is worth many more random cases than a run of the tests has time for. */
export interface SoakPart {
  readonly name: string
  /**
   * Looks at cases until there were enough, and says after each few how many.
   *
   * @throws {Error} with the smallest case that fails, and the seed that repeats it
   */
  run(
    seed: number,
    report: (title: string, done: number, wanted: number) => Promise<void>,
    options: SoakOptions,
  ): Promise<SoakCounts>
}
