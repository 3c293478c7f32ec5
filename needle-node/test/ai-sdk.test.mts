// The middleware inside the real AI SDK of three major versions; the large model is the SDK's own mock.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as ai7 from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import * as ai5 from 'ai5'
import { MockLanguageModelV2 } from 'ai5/test'
import * as ai6 from 'ai6'
import { MockLanguageModelV3 } from 'ai6/test'
import { Reason, Router, type Routed } from 'needle-rs'
import { needleMiddleware, needleMiddlewareV2, needleMiddlewareV3 } from 'needle-rs/ai-sdk'
import { z } from 'zod'

const ASK = 'dim the lights in the bedroom to 30 percent'
const OPEN = { threshold: 0 }
const inputSchema = z.object({
  room: z.string().describe('Room where the lights are'),
  level: z.number().int().min(0).max(100).describe('Brightness in percent'),
})
const description = 'Dim the lights in a room to a brightness level.'
const execute = async ({ room, level }: { room: string; level: number }) => `${room} is at ${level}`

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
}
const done = {
  content: [{ type: 'text' as const, text: 'done' }],
  finishReason: { unified: 'stop' as const, raw: 'stop' },
  usage,
  warnings: [],
}

describe('AI SDK 7', () => {
  const tools = { dim_lights: ai7.tool({ description, inputSchema, execute }) }
  const wrapped = async (large: MockLanguageModelV4, options = {}) =>
    ai7.wrapLanguageModel({ model: large, middleware: await needleMiddleware({ ...OPEN, ...options }) })

  test('a local answer runs the tool', async () => {
    const large = new MockLanguageModelV4({ doGenerate: done })
    const model = await wrapped(large)
    const { steps, text } = await ai7.generateText({ model, tools, prompt: ASK, stopWhen: ai7.stepCountIs(2) })
    assert.equal(steps[0]?.toolResults[0]?.output, 'bedroom is at 30')
    assert.equal(typeof steps[0]?.providerMetadata?.['needle']?.['confidence'], 'number')
    // The tool's result is for the large model to put into words.
    assert.deepEqual([text, large.doGenerateCalls.length], ['done', 1])
  })

  test('a hand-off asks the large model as if nothing stood before it', async () => {
    const [large, bare] = [new MockLanguageModelV4({ doGenerate: done }), new MockLanguageModelV4({ doGenerate: done })]
    await ai7.generateText({ model: await wrapped(large), tools, prompt: 'why is the sky blue' })
    await ai7.generateText({ model: bare, tools, prompt: 'why is the sky blue' })
    assert.deepEqual(large.doGenerateCalls, bare.doGenerateCalls)
  })

  test('structured output is for the large model', async () => {
    const text = { ...done, content: [{ type: 'text' as const, text: '{"a":1}' }] }
    const large = new MockLanguageModelV4({ doGenerate: text })
    const output = ai7.Output.object({ schema: z.object({ a: z.number() }) })
    await ai7.generateText({ model: await wrapped(large), tools, prompt: ASK, output })
    assert.equal(large.doGenerateCalls.length, 1)
  })

  test('streams hold the same calls', async () => {
    const { toolResults, finishReason } = ai7.streamText({
      model: await wrapped(new MockLanguageModelV4()),
      tools,
      prompt: ASK,
    })
    assert.equal((await toolResults)[0]?.output, 'bedroom is at 30')
    assert.equal(await finishReason, 'tool-calls')
  })

  test('shadow mode reports and answers nothing', async () => {
    const seen: Routed[] = []
    const router = await Router.create({ ...OPEN, shadow: true, onDecision: (routed) => seen.push(routed) })
    const model = await wrapped(new MockLanguageModelV4({ doGenerate: done }), { router })
    const { text } = await ai7.generateText({ model, tools, prompt: ASK })
    assert.deepEqual([text, seen[0]?.decision.isCall, seen[0]?.calls], ['done', true, []])
  })

  test("an error of the large model is the caller's", async () => {
    const large = new MockLanguageModelV4({ doGenerate: () => Promise.reject(new Error('no network')) })
    const ask = ai7.generateText({ model: await wrapped(large), tools, prompt: 'why is the sky blue', maxRetries: 0 })
    await assert.rejects(ask, /no network/)
  })

  test("an error of the large model is the caller's", async () => {
    const large = new MockLanguageModelV4({ doGenerate: () => Promise.reject(new Error('no network')) })
    const asked = ai7.generateText({ model: await wrapped(large), tools, prompt: 'why is the sky blue', maxRetries: 0 })
    await assert.rejects(asked, /no network/)
  })

  test('sixteen at once', async () => {
    const model = await wrapped(new MockLanguageModelV4())
    const levels = Array.from({ length: 16 }, (_, index) => index + 1)
    const asks = levels.map((level) =>
      ai7.generateText({ model, tools, prompt: `dim the lights in the bedroom to ${level} percent` }),
    )
    const outputs = (await Promise.all(asks)).map(({ toolResults }) => toolResults[0]?.output)
    assert.deepEqual(outputs, levels.map((level) => `bedroom is at ${level}`))
  })
})

test('AI SDK 6', async () => {
  const tools = { dim_lights: ai6.tool({ description, inputSchema, execute }) }
  const large = new MockLanguageModelV3({ doGenerate: done })
  const model = ai6.wrapLanguageModel({ model: large, middleware: await needleMiddlewareV3(OPEN) })
  assert.equal((await ai6.generateText({ model, tools, prompt: ASK })).toolResults[0]?.output, 'bedroom is at 30')
  assert.equal((await ai6.streamText({ model, tools, prompt: ASK }).toolResults)[0]?.output, 'bedroom is at 30')
  assert.equal((await ai6.generateText({ model, tools, prompt: 'why is the sky blue' })).text, 'done')
})

test('AI SDK 5', async () => {
  const tools = { dim_lights: ai5.tool({ description, inputSchema, execute }) }
  const answer = { ...done, finishReason: 'stop' as const, usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } }
  const large = new MockLanguageModelV2({ doGenerate: answer })
  const model = ai5.wrapLanguageModel({ model: large, middleware: await needleMiddlewareV2(OPEN) })
  assert.equal((await ai5.generateText({ model, tools, prompt: ASK })).toolResults[0]?.output, 'bedroom is at 30')
  assert.equal((await ai5.streamText({ model, tools, prompt: ASK }).toolResults)[0]?.output, 'bedroom is at 30')
  assert.equal((await ai5.generateText({ model, tools, prompt: 'why is the sky blue' })).text, 'done')
})

test('a router reads requests of every API', async () => {
  const router = await Router.create({ ...OPEN, thresholds: { deleteAll: 1 } })
  const tool = { type: 'function', name: 'dim_lights', description, parameters: z.toJSONSchema(inputSchema) }
  const { calls, seen } = await router.decide({ input: ASK, tools: [tool] }, { api: 'responses' })
  assert.deepEqual(calls, [{ name: 'dim_lights', arguments: { room: 'bedroom', level: 30 } }])
  assert.deepEqual([seen.message, seen.tools, seen.cached], [0, 1, false])
  const other = { type: 'function', name: 'play_song', description: 'Play a song by its title.' }
  const near = await router.nearest({ input: ASK, tools: [other, tool] }, 2, { api: 'responses' })
  assert.deepEqual([near.map(({ name }) => name), near[0]!.cosine > near[1]!.cosine], [['dim_lights', 'play_song'], true])
  const { decision } = await router.decide({ messages: [], tools: [] })
  assert(!decision.isCall && decision.reason === Reason.NotAUserTurn)
  await assert.rejects(Router.create({ treshold: 0 } as object), /unknown field `treshold`/)
  await assert.rejects(router.decide({}, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
})
