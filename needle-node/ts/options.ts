/** Settings of a decision; what is left out takes the engine's default (`schemas/options.schema.json`). */
export interface Options {
  /** Confidence below which a call becomes a hand-off, 0 to 1; by default the model's own. */
  threshold?: number
  /** Most calls in one answer; more is a hand-off. */
  maxCalls?: number
  /** Longest answer in tokens; more is a hand-off. */
  maxOutputTokens?: number
  /** Time for one decision in milliseconds; running out before there is an answer is an error. */
  deadlineMs?: number
  /** What to do with arguments that the query does not contain. */
  grounding?: 'off' | 'report' | 'enforce'
  /** Most tools that take part in one decision; of more, this many are retrieved. */
  maxCandidates?: number
}

/** Settings of a decision that can be aborted. */
export interface DecideOptions extends Options {
  /** Ends the decision, which then rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Settings as the engine reads them. It alone knows which there are, so unknown ones are passed on. */
export function written(options: object): string {
  const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return JSON.stringify(Object.fromEntries(Object.entries(options).map(([key, value]) => [snake(key), value])))
}
