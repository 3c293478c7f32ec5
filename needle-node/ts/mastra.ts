/**
 * Mastra: a processor that answers model calls locally.
 *
 * @example
 * const agent = new Agent({ …, model: 'openai/…', inputProcessors: [await needleProcessor()] })
 *
 * @packageDocumentation
 */
import { needleMiddleware, needleMiddlewareV2, needleMiddlewareV3 } from './ai-sdk.js'
import { Router, type RouterOptions } from './router.js'

/** What is read of a model; all versions of the specification have it in common. */
interface Model {
  specificationVersion: string
}

interface Processor {
  readonly id: 'needle'
  processInputStep<M extends Model>(step: { model: M }): { model: M }
}

type Middleware = Pick<Awaited<ReturnType<typeof needleMiddleware>>, 'wrapStream'>

/**
 * A processor that answers with local tool calls where they are certain; else the step's model is asked, unchanged.
 *
 * It puts itself in front of the model, which alone is shown the tools, the choice among them and the wanted format as
 * all processors leave them; `processLLMRequest`, which may answer too, sees none of these and skips output processors.
 * A later processor that replaces the model replaces this one with it.
 *
 * @param given A router, or the policy of one.
 */
export async function needleProcessor(given: { router?: Router } & RouterOptions = {}): Promise<Processor> {
  const { router: made, ...options } = given
  const router = made ?? (await Router.create(options))
  const versions = new Map<string, Middleware>([
    ['v2', await needleMiddlewareV2({ router })],
    ['v3', await needleMiddlewareV3({ router })],
    ['v4', await needleMiddleware({ router })],
  ])
  return {
    id: 'needle',
    processInputStep({ model }) {
      const middleware = versions.get(model.specificationVersion)
      return { model: middleware === undefined ? model : inFrontOf(model, middleware) }
    },
  }
}

/** The model, but for calls that are answered locally. For Mastra, models answer `doGenerate` with a stream, too. */
function inFrontOf<M extends Model>(model: M, { wrapStream }: Middleware): M {
  return new Proxy(model, {
    get(_, key) {
      // Mastra's own models have private fields, which only they themselves can read.
      const value: unknown = Reflect.get(model, key)
      if (typeof value !== 'function') return value
      const method = value.bind(model)
      if (key !== 'doGenerate' && key !== 'doStream') return method
      return (params: object) => wrapStream({ doStream: () => method(params), params })
    },
  })
}
