import native from './native.js'
import { aborting } from './abort.js'
import { type Decision, type Event, parseDecision } from './decision.js'
import { awaited, called } from './errors.js'
import { type DecideOptions, type Options, written } from './options.js'
import { stream } from './stream.js'
import type { Tool } from './tool.js'

/** A decision and what its calls returned, in their order; nothing for a hand-off. */
export interface Run {
  decision: Decision
  results: unknown[]
}

/** Compiled tools. Any number of decisions may be under way at once. */
export class Toolset {
  readonly #native: native.Toolset
  readonly #functions: ReadonlyMap<string, Tool>

  /** @internal */
  constructor(toolset: native.Toolset, functions: ReadonlyMap<string, Tool>) {
    this.#native = toolset
    this.#functions = functions
  }

  /** Names of the tools, in their order. */
  get names(): string[] {
    return this.#native.names
  }

  /**
   * Decides one query, off the event loop.
   *
   * @throws NeedleError for an unknown or impossible option, or if the deadline passed.
   */
  async decide(query: string, { signal, ...options }: DecideOptions = {}): Promise<Decision> {
    const cancel = new native.Cancel()
    return aborting(signal, cancel, async () => {
      return parseDecision(await awaited(this.#native.decide(text(query), written(options), cancel)))
    })
  }

  /** As `decide`, at once: a few milliseconds during which the event loop waits. */
  decideSync(query: string, options: Options = {}): Decision {
    return parseDecision(called(() => this.#native.decideSync(text(query), written(options))))
  }

  /** Decides queries one after the other, each as `decide` would, off the event loop. */
  async decideBatch(queries: readonly string[], options: Options = {}): Promise<Decision[]> {
    const decisions = await awaited(this.#native.decideBatch(queries.map(text), written(options)))
    return decisions.map(parseDecision)
  }

  /** As `decideBatch`, at once. */
  decideBatchSync(queries: readonly string[], options: Options = {}): Decision[] {
    return called(() => this.#native.decideBatchSync(queries.map(text), written(options))).map(parseDecision)
  }

  /** Events while the answer is written; the last one is `done`. Leaving the loop early ends the decision. */
  async *stream(query: string, { signal, ...options }: DecideOptions = {}): AsyncGenerator<Event, void, undefined> {
    signal?.throwIfAborted()
    const cancel = new native.Cancel()
    const abort = () => cancel.cancel()
    signal?.addEventListener('abort', abort)
    try {
      yield* stream(this.#native, text(query), written(options), cancel)
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /**
   * Decides, and calls the functions that the decision names, one after the other.
   *
   * @throws TypeError before any call, if a chosen tool was not made with `tool`; or if its schema refuses its arguments.
   */
  async run(query: string, options: DecideOptions = {}): Promise<Run> {
    const decision = await this.decide(query, options)
    const chosen = decision.calls.map((call) => {
      const callable = this.#functions.get(call.name)
      if (callable === undefined) throw new TypeError(`${call.name} was not made with tool(); use decide`)
      return () => callable.call(call.arguments)
    })
    const results: unknown[] = []
    for (const call of chosen) results.push(await call())
    return { decision, results }
  }
}

function text(query: unknown): string {
  if (typeof query !== 'string') throw new TypeError(`a query is a string, not ${typeof query}`)
  return query
}
