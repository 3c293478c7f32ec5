import native from './native.js'
import { aborting } from './abort.js'
import { type Call, type Decision, readDecision, type Written } from './decision.js'
import { awaited, called } from './errors.js'
import { parseJson, writeJson } from './json.js'
import { Model } from './model.js'
import { written } from './options.js'

/** OpenAI's chat completions and responses, Anthropic's messages. */
export type Api = 'chat' | 'responses' | 'messages'

/** What a router may answer itself; what is left out takes the engine's default (`schemas/policy.schema.json`). */
export interface Policy {
  /** Confidence below which a call is handed off, 0 to 1; by default the model's own. */
  threshold?: number
  /** The same for single tools, by name; it counts instead of `threshold`. */
  thresholds?: Record<string, number>
  /** The least for tools that are marked destructive and have no threshold of their own. */
  destructiveThreshold?: number
  /** Tools that are never called locally. */
  never?: string[]
  /** What to do when some tools are the provider's own. */
  providerTools?: 'hand_off' | 'ignore'
  /** What to do with arguments that the query does not contain. */
  grounding?: 'off' | 'report' | 'enforce'
  maxCalls?: number
  maxOutputTokens?: number
  deadlineMs?: number
  maxCandidates?: number
  /** Lists of tools that are kept compiled. */
  cachedToolsets?: number
}

/** A router's policy and what else it is made of. */
export interface RouterOptions extends Policy {
  /** By default the one that comes with this package. */
  model?: Model
  /** Threads that share the work of compiling tools and of one decision; 1 by default. */
  threads?: number
  /** Decide and report, but let the large model answer everything. */
  shadow?: boolean
  /** Called with every decision. */
  onDecision?: (routed: Routed) => void
}

/** What a router looked at: the message that holds the ask, the number of tools, and the time to prepare them. */
export interface Seen {
  message: number | null
  tools: number
  cached: boolean
  prepareMs: number
}

/** A decision about a request. */
export interface Routed {
  decision: Decision
  seen: Seen
  /** The calls to answer with; none if the large model must be asked, for doubt or because of shadow mode. */
  calls: Call[]
}

/** A tool, and how near it is to an ask: 1 is nearest. */
export interface Near {
  name: string
  cosine: number
}

/** Decides requests to a large model. Any number of decisions may be under way at once. */
export class Router {
  readonly #native: native.Router
  readonly #shadow: boolean
  readonly #onDecision: (routed: Routed) => void

  private constructor(router: native.Router, shadow: boolean, onDecision: (routed: Routed) => void) {
    this.#native = router
    this.#shadow = shadow
    this.#onDecision = onDecision
  }

  /**
   * A router with a policy.
   *
   * @throws NeedleError for an unknown or impossible setting.
   */
  static async create(options: RouterOptions = {}): Promise<Router> {
    const { model, threads = 1, shadow = false, onDecision = () => {}, ...policy } = options
    const { native: loaded } = model ?? (await Model.default())
    const { thresholds, ...flat } = policy
    // Names of tools are not settings: they keep their spelling.
    const text = { ...(JSON.parse(written(flat)) as object), ...(thresholds && { thresholds }) }
    const router = called(() => native.Router.create(loaded, JSON.stringify(text), threads))
    return new Router(router, shadow, onDecision)
  }

  /**
   * Decides the body of a request as the API has it: `messages` (or `input`), `tools`, `tool_choice` and so on.
   *
   * Whatever is beyond a local answer, wrong tools included, is a hand-off.
   */
  async decide(request: object, options: { api?: Api; signal?: AbortSignal } = {}): Promise<Routed> {
    const { api = 'chat', signal } = options
    const cancel = new native.Cancel()
    const text = await aborting(signal, cancel, () => awaited(this.#native.decide(api, writeJson(request), cancel)))
    const { seen, ...decided } = parseJson(text) as Written & { seen: Omit<Seen, 'prepareMs'> & { prepare_ms: number } }
    const { message, tools, cached, prepare_ms: prepareMs } = seen
    const decision = readDecision(decided)
    const calls = this.#shadow ? [] : decision.calls
    const routed = { decision, seen: { message, tools, cached, prepareMs }, calls }
    this.#onDecision(routed)
    return routed
  }

  /**
   * The request's tools that are nearest to its ask, best first: what to show the large model where there are too many.
   * Empty if nothing can be said.
   */
  async nearest(request: object, count: number, options: { api?: Api } = {}): Promise<Near[]> {
    const { api = 'chat' } = options
    const text = await awaited(this.#native.nearest(api, writeJson(request), count))
    return (JSON.parse(text) as [string, number][]).map(([name, cosine]) => ({ name, cosine }))
  }
}
