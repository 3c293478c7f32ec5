// The model inside real agents of the OpenAI Agents SDK.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Agent, type Model, type ModelRequest, type StreamEvent, Runner, tool, Usage } from '@openai/agents-core'
import { needleModel } from 'needle-rs/openai-agents'
import { z } from 'zod'

const ASK = 'dim the lights in the bedroom to 30 percent'
const dimLights = tool({
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  parameters: z.object({ room: z.string(), level: z.number().int(), scene: z.string().nullable() }),
  execute: async ({ room, level, scene }) => `${room} is at ${level} with ${scene}`,
})
const runner = new Runner({ tracingDisabled: true })

/** Says "done" and keeps what it was asked. */
class Large implements Model {
  readonly asked: ModelRequest[] = []

  async getResponse(request: ModelRequest) {
    this.asked.push(request)
    return { output: [...DONE], usage: new Usage() }
  }

  async *getStreamedResponse(request: ModelRequest): AsyncIterable<StreamEvent> {
    const { output } = await this.getResponse(request)
    const usage = { requests: 1, inputTokens: 0, outputTokens: 0, totalTokens: 0 }
    yield { type: 'response_done', response: { id: '1', usage, output } }
  }
}

const DONE = [
  {
    type: 'message' as const,
    role: 'assistant' as const,
    status: 'completed' as const,
    content: [{ type: 'output_text' as const, text: 'done' }],
  },
]

const agent = async (large: Large, options = {}) =>
  new Agent({ name: 'home', tools: [dimLights], model: await needleModel(large, { threshold: 0 }), ...options })

const outputs = (items: readonly { type: string; output?: unknown }[]) =>
  items.filter((item) => item.type === 'tool_call_output_item').map((item) => item.output)

test('a local answer runs the tool', async () => {
  const large = new Large()
  const result = await runner.run(await agent(large), ASK)
  // Strict schemas want every argument: what was not said is null.
  assert.deepEqual(outputs(result.newItems), ['bedroom is at 30 with null'])
  assert.deepEqual([result.finalOutput, large.asked.length], ['done', 1])
})

test('a hand-off passes the request on as it came', async () => {
  const [large, bare] = [new Large(), new Large()]
  await runner.run(await agent(large), 'why is the sky blue')
  await runner.run(new Agent({ name: 'home', tools: [dimLights], model: bare }), 'why is the sky blue')
  const comparable = (request?: ModelRequest) => JSON.stringify({ ...request, tracing: undefined })
  assert.equal(comparable(large.asked[0]), comparable(bare.asked[0]))
  assert.equal(large.asked.length, 1)
})

test('other agents and structured output are for the large model', async () => {
  const large = new Large()
  await runner.run(await agent(large, { handoffs: [new Agent({ name: 'other' })] }), ASK)
  assert.equal(large.asked.length, 1)
})

test('streams hold the same calls', async () => {
  const large = new Large()
  const result = await runner.run(await agent(large), ASK, { stream: true })
  await result.completed
  assert.deepEqual(outputs(result.newItems), ['bedroom is at 30 with null'])
  assert.equal(result.finalOutput, 'done')
})

test("an error of the large model is the caller's", async () => {
  const large = new Large()
  large.getResponse = () => Promise.reject(new Error('no network'))
  await assert.rejects(runner.run(await agent(large), 'why is the sky blue'), /no network/)
})

test('sixteen at once', async () => {
  const shared = await agent(new Large())
  const levels = Array.from({ length: 16 }, (_, index) => index + 1)
  const runs = await Promise.all(levels.map((level) => runner.run(shared, `dim the lights in the bedroom to ${level} percent`)))
  assert.deepEqual(
    runs.map((run) => outputs(run.newItems)),
    levels.map((level) => [`bedroom is at ${level} with null`]),
  )
})
