// The processor inside real Mastra agents; the large model is a local server, or the AI SDK's mock of any version.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Agent, type AgentConfig } from '@mastra/core/agent'
import { noopLogger } from '@mastra/core/logger'
import { createTool } from '@mastra/core/tools'
import { MockLanguageModelV4 } from 'ai/test'
import { MockLanguageModelV2 } from 'ai5/test'
import { MockLanguageModelV3 } from 'ai6/test'
import { type Routed, Router } from 'needle-rs'
import { needleProcessor } from 'needle-rs/mastra'
import { z } from 'zod'

const ASK = 'dim the lights in the bedroom to 30 percent'
const OPEN = { threshold: 0 }
const dim_lights = createTool({
  id: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  inputSchema: z.object({ room: z.string(), level: z.number().int() }),
  execute: async ({ room, level }) => `${room} is at ${level}`,
})

async function agent(model: unknown, options: Partial<AgentConfig> = {}): Promise<Agent> {
  const inputProcessors = [await needleProcessor(OPEN)]
  const made = new Agent({
    ...{ id: 'home', name: 'home', instructions: 'Be brief.', tools: { dim_lights }, inputProcessors },
    ...options,
    model: model as AgentConfig['model'],
  })
  made.__setLogger(noopLogger)
  return made
}

const outputs = ({ toolResults }: { toolResults: readonly { payload: { result: unknown } }[] }) =>
  toolResults.map(({ payload }) => payload.result)

describe('models of every version', () => {
  const content = [{ type: 'text' as const, text: 'done' }]
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  }
  const doGenerate = { content, finishReason: { unified: 'stop' as const, raw: 'stop' }, usage, warnings: [] }
  const flat = { finishReason: 'stop' as const, usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } }
  const models = [
    new MockLanguageModelV2({ doGenerate: { ...doGenerate, ...flat } }),
    new MockLanguageModelV3({ doGenerate }),
    new MockLanguageModelV4({ doGenerate }),
  ]
  for (const model of models) {
    test(`a local answer runs the tool: ${model.specificationVersion}`, async () => {
      const { steps, text } = await (await agent(model)).generate(ASK)
      assert.deepEqual(outputs(steps[0]!), ['bedroom is at 30'])
      assert.equal(typeof steps[0]!.providerMetadata?.['needle']?.['confidence'], 'number')
      // The tool's result is for the large model to put into words.
      assert.deepEqual([text, model.doGenerateCalls.length], ['done', 1])
    })

    test(`streams hold the same calls: ${model.specificationVersion}`, async () => {
      const { fullStream, toolResults } = await (await agent(model)).stream(ASK, { maxSteps: 1 })
      const kinds: string[] = []
      for await (const { type } of fullStream) kinds.push(type)
      assert(kinds.includes('tool-call') && kinds.includes('tool-call-delta'))
      assert.deepEqual(outputs({ toolResults: await toolResults }), ['bedroom is at 30'])
      assert.equal(model.doStreamCalls.length, 0)
    })
  }
})

describe("models of Mastra's own router", () => {
  interface Body {
    stream?: boolean
    messages: { content: string }[]
  }
  const asked: Body[] = []
  let server: Server
  let large: object

  before(async () => {
    server = createServer(async (request, response) => {
      const body = (await json(request)) as Body
      asked.push(body)
      const { content } = body.messages.at(-1)!
      const head = { id: '1', created: 0, model: 'large' }
      const message = { role: 'assistant', content: content.includes('JSON') ? '{"a":1}' : 'done' }
      const choice = { index: 0, finish_reason: 'stop' }
      if (content === 'refuse') response.writeHead(429).end('{"error":{"message":"slow down"}}')
      else if (body.stream) {
        response.write(`data: ${JSON.stringify({ ...head, choices: [{ ...choice, delta: message }] })}\n\n`)
        response.end('data: [DONE]\n\n')
      } else response.end(JSON.stringify({ ...head, choices: [{ ...choice, message }] }))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    large = { id: 'local/large', url: `http://127.0.0.1:${port}/v1`, apiKey: 'k' }
  })
  beforeEach(() => asked.splice(0))
  after(() => server.close())

  /** How many messages each request held: two, with the instructions, where nothing was answered locally. */
  const lengths = () => asked.map(({ messages }) => messages.length)

  test('a hand-off asks the large model as if nothing stood before it', async () => {
    for (const options of [{}, { inputProcessors: [] }]) {
      const made = await agent(large, options)
      assert.equal((await made.generate('why is the sky blue')).text, 'done')
      assert.equal(await (await made.stream('why is the sky blue')).text, 'done')
    }
    const [generated, streamed, ...bare] = asked
    assert.deepEqual([generated, streamed], bare)
  })

  test('structured output and tools that are held back are for the large model', async () => {
    const made = await agent(large)
    await made.generate(`${ASK}; JSON`, { structuredOutput: { schema: z.object({ a: z.number() }) } })
    await made.generate(ASK, { prepareStep: () => ({ activeTools: [] }) })
    await made.generate(ASK, { toolChoice: 'none' })
    assert.deepEqual(lengths(), [2, 2, 2])
  })

  test('other processors go on as they were', async () => {
    const heard: string[] = []
    const other = { id: 'other', processInput: ({ messages }: { messages: any }) => messages }
    const guard = {
      id: 'guard',
      processOutputStream: async ({ part }: { part: any }) => (heard.push(part.type), part),
    }
    const inputProcessors = [other, await needleProcessor(OPEN), { ...other, id: 'another' }]
    const { steps } = await (await agent(large, { inputProcessors, outputProcessors: [guard] })).generate(ASK)
    assert.deepEqual(outputs(steps[0]!), ['bedroom is at 30'])
    assert(heard.includes('tool-call'))
  })

  test('shadow mode reports and answers nothing', async () => {
    const seen: Routed[] = []
    const router = await Router.create({ ...OPEN, shadow: true, onDecision: (routed) => seen.push(routed) })
    await (await agent(large, { inputProcessors: [await needleProcessor({ router })] })).generate(ASK)
    assert.deepEqual([lengths(), seen[0]?.decision.isCall], [[2], true])
  })

  test("an error of the large model is the caller's", async () => {
    const made = await agent(large)
    const modelSettings = { maxRetries: 0 }
    await assert.rejects(made.generate('refuse', { modelSettings }), { message: 'slow down', statusCode: 429 })
    await assert.rejects((await made.stream('refuse', { modelSettings })).text, /slow down/)
  })

  test('sixteen at once', async () => {
    const shared = await agent(large)
    const levels = Array.from({ length: 16 }, (_, index) => index + 1)
    const asks = levels.map((level) => shared.generate(`dim the lights in the bedroom to ${level} percent`, { maxSteps: 1 }))
    assert.deepEqual((await Promise.all(asks)).map(outputs), levels.map((level) => [`bedroom is at ${level}`]))
  })
})
