/**
 * LangChain: middleware that answers model calls locally, or shows the large model fewer tools.
 *
 * @example
 * const agent = createAgent({ model: 'openai:…', tools, middleware: [await needleMiddleware()] })
 *
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto'
import { convertToOpenAITool } from '@langchain/core/utils/function_calling'
import { AIMessage, type BaseMessage, createMiddleware, type WrapModelCallHook } from 'langchain'
import { type Routed, Router, type RouterOptions } from './router.js'

type ModelRequest = Parameters<WrapModelCallHook>[0]

/** Middleware for agents of LangChain's ES modules and of its CommonJS twins, whose types exclude each other. */
interface Middleware {
  name: string
  wrapModelCall?(request: any, handler: any): any
}

/**
 * Middleware that answers with local tool calls where they are certain; else the large model is asked, unchanged.
 *
 * The answer's `response_metadata` has `model_name` "needle" and the confidence.
 *
 * @param given A router, or the policy of one.
 */
export async function needleMiddleware(given: { router?: Router } & RouterOptions = {}): Promise<Middleware> {
  const { router: made, ...options } = given
  const router = made ?? (await Router.create(options))
  return createMiddleware({
    name: 'NeedleMiddleware',
    async wrapModelCall(request, handler) {
      const { signal } = request.runtime
      const routed = await router.decide(body(request), signal === undefined ? {} : { signal })
      // LangChain writes its messages as JSON, which has no BigInt.
      const sayable = routed.calls.length > 0 && !hasBigInt(routed.calls)
      return sayable ? answer(routed) : handler(request)
    },
  })
}

/**
 * Middleware that shows the large model only the tools that are nearest to the ask, and those in `always`; all of them
 * where nothing can be said.
 *
 * @param count How many tools to keep.
 */
export async function needleToolSelector(
  count: number,
  given: { router?: Router; always?: string[] } & RouterOptions = {},
): Promise<Middleware> {
  const { router: made, always = [], ...options } = given
  const router = made ?? (await Router.create(options))
  return createMiddleware({
    name: 'NeedleToolSelector',
    async wrapModelCall(request, handler) {
      const near = await router.nearest(body(request), count)
      if (near.length === 0 || request.tools.length <= count) return handler(request)
      const kept = new Set([...near.map(({ name }) => name), ...always])
      // The provider's own tools have no name here, and stay.
      const tools = request.tools.filter(({ name }) => typeof name !== 'string' || kept.has(name))
      return handler({ ...request, tools })
    },
  })
}

function hasBigInt(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(hasBigInt)
  return typeof value === 'bigint'
}

function answer({ calls, decision }: Routed): AIMessage {
  return new AIMessage({
    content: '',
    tool_calls: calls.map(({ name, arguments: args }) => ({
      type: 'tool_call',
      id: `call_needle_${randomUUID()}`,
      name,
      args,
    })),
    response_metadata: { model_name: 'needle', confidence: decision.confidence },
  })
}

/** The call as a request that the router reads. */
function body({ messages, tools, toolChoice, responseFormat, modelSettings }: ModelRequest): object {
  return {
    messages: messages.map(message),
    tools: tools.map((tool) => convertToOpenAITool(tool)),
    tool_choice: toolChoice,
    response_format: responseFormat === undefined ? undefined : { type: 'json_schema' },
    parallel_tool_calls: modelSettings?.['parallel_tool_calls'],
  }
}

const ROLES: Record<string, string> = { human: 'user', system: 'system' }

function message({ type, content }: BaseMessage): object {
  return {
    // Whatever the others are, no human asks through them.
    role: ROLES[type] ?? 'assistant',
    content: typeof content === 'string' ? content : content.map(({ type, text }) => ({ type, text })),
  }
}
