// The middleware inside real LangChain agents.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import { BaseChatModel } from '@langchain/core/language_models/chat_models'
import { AIMessageChunk, type BaseMessage } from '@langchain/core/messages'
import { ChatGenerationChunk } from '@langchain/core/outputs'
import { AIMessage, createAgent, providerStrategy, tool } from 'langchain'
import { type Routed, Router } from 'needle-rs'
import { needleMiddleware, needleToolSelector } from 'needle-rs/langchain'
import { z } from 'zod'

const ASK = 'dim the lights in the bedroom to 30 percent'
const dimLights = tool(async ({ room, level }) => `${room} is at ${level}`, {
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  schema: z.object({ room: z.string(), level: z.number().int() }),
})

/** Says "done" and keeps what it was asked and bound to. */
class Large extends BaseChatModel {
  readonly asked: BaseMessage[][] = []
  readonly bound: unknown[] = []
  says = 'done'

  constructor() {
    super({})
  }

  _llmType() {
    return 'large'
  }

  override bindTools(...bound: unknown[]) {
    this.bound.push(bound)
    return this.withConfig({})
  }

  async _generate(messages: BaseMessage[]) {
    this.asked.push(messages)
    return { generations: [{ text: this.says, message: new AIMessage(this.says) }] }
  }

  override async *_streamResponseChunks(messages: BaseMessage[], _: object, run?: CallbackManagerForLLMRun) {
    await this._generate(messages)
    for (const text of this.says) {
      yield new ChatGenerationChunk({ text, message: new AIMessageChunk(text) })
      await run?.handleLLMNewToken(text)
    }
  }
}

const agent = async (model: Large, options = {}) =>
  createAgent({ model, tools: [dimLights], middleware: [await needleMiddleware({ threshold: 0 })], ...options })
const asking = (content: unknown) => ({ messages: [{ role: 'user', content: content as string }] })
const texts = ({ messages }: { messages: BaseMessage[] }) => messages.map(({ text }) => text)

test('a local answer runs the tool', async () => {
  const large = new Large()
  const { messages } = await (await agent(large)).invoke(asking(ASK))
  const { model_name: name, confidence } = messages[1]!.response_metadata
  assert.deepEqual([name, typeof confidence], ['needle', 'number'])
  // The tool's result is for the large model to put into words.
  assert.deepEqual(texts({ messages }), [ASK, '', 'bedroom is at 30', 'done'])
  assert.equal(large.asked.length, 1)
})

test('a hand-off asks the large model as if nothing stood before it', async () => {
  const [large, bare] = [new Large(), new Large()]
  const ask = asking([{ type: 'text', text: 'why is the sky blue' }])
  await (await agent(large, { systemPrompt: 'Be brief.' })).invoke(ask)
  await (await agent(bare, { systemPrompt: 'Be brief.', middleware: [] })).invoke(ask)
  const said = ({ asked }: Large) => asked.map((messages) => messages.map(({ type, content }) => ({ type, content })))
  assert.deepEqual([said(large), large.bound], [said(bare), bare.bound])
})

test('pictures, structured output and tools of the provider are for the large model', async () => {
  const large = new Large()
  large.says = '{"a":1}'
  const picture = { type: 'image_url', image_url: { url: 'https://example.com/room.png' } }
  await (await agent(large)).invoke(asking([{ type: 'text', text: ASK }, picture]))
  await (await agent(large, { responseFormat: providerStrategy(z.object({ a: z.number() })) })).invoke(asking(ASK))
  await (await agent(large, { tools: [dimLights, { type: 'web_search' }] })).invoke(asking(ASK))
  // Nothing but the ask has been said when it is asked.
  assert.deepEqual(large.asked.map(({ length }) => length), [1, 1, 1])
})

test('integers that no number holds are for the large model', async () => {
  const call = { name: 'dim_lights', arguments: { room: 'bedroom', level: 2n ** 53n + 1n } }
  const router = { decide: async () => ({ calls: [call], decision: {} }) } as unknown as Router
  const large = new Large()
  await (await agent(large, { middleware: [await needleMiddleware({ router })] })).invoke(asking(ASK))
  assert.deepEqual(large.asked.map(({ length }) => length), [1])
})

test('streams hold the same calls, and the words of the large model as they come', async () => {
  const steps = []
  for await (const step of await (await agent(new Large())).stream(asking(ASK), { streamMode: 'updates' })) {
    steps.push(...Object.keys(step))
  }
  assert.deepEqual(steps, ['model_request', 'tools', 'model_request'])
  const words = []
  const stream = await (await agent(new Large())).stream(asking('why is the sky blue'), { streamMode: 'messages' })
  for await (const [chunk] of stream) words.push(chunk.text)
  assert.deepEqual(words.slice(0, 4), [...'done'])
})

test('shadow mode reports and answers nothing', async () => {
  const seen: Routed[] = []
  const router = await Router.create({ threshold: 0, shadow: true, onDecision: (routed) => seen.push(routed) })
  const middleware = [await needleMiddleware({ router })]
  const result = await (await agent(new Large(), { middleware })).invoke(asking(ASK))
  assert.deepEqual([texts(result), seen[0]?.decision.isCall], [[ASK, 'done'], true])
})

test("an error of the large model is the caller's", async () => {
  const large = new Large()
  large._generate = () => Promise.reject(new Error('no network'))
  await assert.rejects((await agent(large)).invoke(asking('why is the sky blue')), /no network/)
})

test('sixteen at once', async () => {
  const shared = await agent(new Large())
  const levels = Array.from({ length: 16 }, (_, index) => index + 1)
  const asks = levels.map((level) => shared.invoke(asking(`dim the lights in the bedroom to ${level} percent`)))
  const answers = (await Promise.all(asks)).map((answer) => texts(answer)[2])
  assert.deepEqual(answers, levels.map((level) => `bedroom is at ${level}`))
})

test('the large model is shown the nearest tools', async () => {
  const other = (name: string, description: string) =>
    tool(async () => name, { name, description, schema: z.object({ text: z.string() }) })
  const tools = [other('send_email', 'Send an email to somebody.'), dimLights, other('play_song', 'Play a song by its title.')]
  for (const [always, shown] of [[[], ['dim_lights']], [['send_email'], ['send_email', 'dim_lights']]] as const) {
    const large = new Large()
    const middleware = [await needleToolSelector(1, { always: [...always] })]
    await createAgent({ model: large, tools, middleware }).invoke(asking(ASK))
    const [[bound]] = large.bound as [[{ name: string }[]]]
    assert.deepEqual(bound.map(({ name }) => name), shown)
  }
})
