/**
 * Vercel AI SDK: middleware that answers model calls locally.
 *
 * @example
 * const model = wrapLanguageModel({ model: openai('…'), middleware: await needleMiddleware() })
 *
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto'
import { writeJson } from './json.js'
import { type Routed, Router, type RouterOptions } from './router.js'

type Given = { router?: Router } & RouterOptions

/** What is read of a call; all versions of the specification have it in common. */
interface Params {
  prompt: readonly { role: string; content: string | readonly { type: string; text?: string }[] }[]
  tools?: readonly { type: string; name: string; description?: string; inputSchema?: unknown }[]
  toolChoice?: { type: string; toolName?: string }
  responseFormat?: { type: string }
  abortSignal?: AbortSignal
}

/** Middleware of any version: the results are the SDK's own types, which differ from version to version. */
interface Middleware {
  wrapGenerate(call: { doGenerate: () => PromiseLike<any>; params: any }): Promise<any>
  wrapStream(call: { doStream: () => PromiseLike<any>; params: any }): Promise<any>
}

/** Middleware for AI SDK 7. Takes a router, or makes one with a policy. */
export async function needleMiddleware(given: Given = {}): Promise<Middleware & { specificationVersion: 'v4' }> {
  const finishReason = { unified: 'tool-calls', raw: 'tool_calls' }
  return { specificationVersion: 'v4', ...(await middleware(given, finishReason, DETAILED_USAGE)) }
}

/** Middleware for AI SDK 6. */
export async function needleMiddlewareV3(given: Given = {}): Promise<Middleware & { specificationVersion: 'v3' }> {
  const finishReason = { unified: 'tool-calls', raw: 'tool_calls' }
  return { specificationVersion: 'v3', ...(await middleware(given, finishReason, DETAILED_USAGE)) }
}

/** Middleware for AI SDK 5. */
export async function needleMiddlewareV2(given: Given = {}): Promise<Middleware & { middlewareVersion: 'v2' }> {
  const usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 }
  return { middlewareVersion: 'v2', ...(await middleware(given, 'tool-calls', usage)) }
}

const DETAILED_USAGE = {
  inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 0, text: 0, reasoning: 0 },
}

async function middleware(given: Given, finishReason: unknown, usage: object): Promise<Middleware> {
  const { router: made, ...options } = given
  const router = made ?? (await Router.create(options))
  const answer = async (params: Params) => {
    const { abortSignal } = params
    const routed = await router.decide(body(params), abortSignal === undefined ? {} : { signal: abortSignal })
    if (routed.calls.length === 0) return undefined
    const end = { finishReason, usage, providerMetadata: { needle: { confidence: routed.decision.confidence } } }
    return { content: toolCalls(routed), end }
  }
  return {
    async wrapGenerate({ doGenerate, params }) {
      const answered = await answer(params as Params)
      return answered ? { content: answered.content, warnings: [], ...answered.end } : doGenerate()
    },
    async wrapStream({ doStream, params }) {
      const answered = await answer(params as Params)
      if (answered === undefined) return doStream()
      return { stream: streamOf([...parts(answered.content), { type: 'finish', ...answered.end }]) }
    },
  }
}

interface ToolCall {
  type: 'tool-call'
  toolCallId: string
  toolName: string
  input: string
}

function toolCalls(routed: Routed): ToolCall[] {
  return routed.calls.map(({ name, arguments: input }) => ({
    type: 'tool-call',
    toolCallId: `call_needle_${randomUUID()}`,
    toolName: name,
    input: writeJson(input),
  }))
}

/** The events before the end of a stream. */
function parts(content: ToolCall[]) {
  return [
    { type: 'stream-start', warnings: [] },
    ...content.flatMap((call) => [
      { type: 'tool-input-start', id: call.toolCallId, toolName: call.toolName },
      { type: 'tool-input-delta', id: call.toolCallId, delta: call.input },
      { type: 'tool-input-end', id: call.toolCallId },
      call,
    ]),
  ]
}

function streamOf<T>(values: T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const value of values) controller.enqueue(value)
      controller.close()
    },
  })
}

/** The call as a request that the router reads. */
function body({ prompt, tools = [], toolChoice, responseFormat }: Params): object {
  return {
    messages: prompt.map(({ role, content }) => ({
      role,
      content: typeof content === 'string' ? content : content.map(({ type, text }) => ({ type, text })),
    })),
    tools: tools.map(({ type, name, description, inputSchema }) =>
      type === 'function' ? { type, function: { name, description, parameters: inputSchema } } : { type: name },
    ),
    tool_choice:
      toolChoice?.type === 'tool' ? { type: 'function', function: { name: toolChoice.toolName } } : toolChoice?.type,
    response_format: responseFormat?.type === 'json' ? { type: 'json_object' } : undefined,
  }
}
