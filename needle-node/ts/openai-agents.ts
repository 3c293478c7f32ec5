/**
 * OpenAI Agents SDK: a model in front of another one.
 *
 * @example
 * const agent = new Agent({ name: '…', tools, model: await needleModel(new OpenAIResponsesModel(client, '…')) })
 *
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto'
import {
  type Model,
  type ModelRequest,
  type ModelResponse,
  type protocol,
  type StreamEvent,
  Usage,
} from '@openai/agents-core'
import { writeJson } from './json.js'
import { Router, type RouterOptions } from './router.js'

/**
 * A model that answers with local tool calls where they are certain; else it asks `inner`, with the request as it came.
 *
 * @param inner The large model.
 * @param given A router, or the policy of one.
 */
export async function needleModel(inner: Model, given: { router?: Router } & RouterOptions = {}): Promise<Model> {
  const { router: made, ...options } = given
  return new NeedleModel(inner, made ?? (await Router.create(options)))
}

class NeedleModel implements Model {
  readonly #inner: Model
  readonly #router: Router

  constructor(inner: Model, router: Router) {
    this.#inner = inner
    this.#router = router
  }

  async getResponse(request: ModelRequest): Promise<ModelResponse> {
    const output = await this.#answer(request)
    return output === undefined ? this.#inner.getResponse(request) : { output, usage: new Usage() }
  }

  async *getStreamedResponse(request: ModelRequest): AsyncIterable<StreamEvent> {
    const output = await this.#answer(request)
    if (output === undefined) {
      yield* this.#inner.getStreamedResponse(request)
      return
    }
    const usage = { requests: 0, inputTokens: 0, outputTokens: 0, totalTokens: 0 }
    yield { type: 'response_started' }
    yield { type: 'response_done', response: { id: `resp_needle_${randomUUID()}`, usage, output } }
  }

  /** The items of a local answer; undefined where the large model must be asked. */
  async #answer(request: ModelRequest): Promise<protocol.FunctionCallItem[] | undefined> {
    const { signal } = request
    const options = { api: 'responses' as const, ...(signal && { signal }) }
    const { calls } = await this.#router.decide(body(request), options)
    if (calls.length === 0) return undefined
    return calls.map(({ name, arguments: given }) => ({
      type: 'function_call',
      callId: `call_needle_${randomUUID()}`,
      name,
      arguments: writeJson(given),
      status: 'completed',
    }))
  }
}

/** The call as a request that the router reads. */
function body(request: ModelRequest): object {
  const { input, tools, handoffs, modelSettings, outputType, previousResponseId, conversationId, prompt } = request
  const choice = modelSettings.toolChoice
  return {
    input,
    // Handing over to another agent is the large model's business, as are tools that run at the provider's.
    tools: [
      ...tools.map((tool) => {
        if (tool.type !== 'function') return { type: tool.type }
        const { type, name, description, parameters } = tool
        return { type, name, description, parameters }
      }),
      ...handoffs.map(() => ({ type: 'handoff' })),
    ],
    tool_choice:
      typeof choice === 'string' && !['auto', 'required', 'none'].includes(choice)
        ? { type: 'function', name: choice }
        : choice,
    parallel_tool_calls: modelSettings.parallelToolCalls,
    text: { format: { type: outputType === 'text' ? 'text' : 'json_schema' } },
    previous_response_id: previousResponseId,
    conversation: conversationId,
    prompt,
  }
}
