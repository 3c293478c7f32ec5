// Mastra: easy tool calls are answered locally, everything else by the agent's own model.
// npm install needle-rs @mastra/core zod; put 'openai/gpt-5-mini' in place of the mock, which is of the package ai.
import { Agent } from '@mastra/core/agent'
import { createTool } from '@mastra/core/tools'
import { MockLanguageModelV4 } from 'ai/test'
import { needleProcessor } from 'needle-rs/mastra'
import { z } from 'zod'

const none = { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0, text: 0, reasoning: 0 }
const large = new MockLanguageModelV4({
  doGenerate: {
    content: [{ type: 'text', text: "(the large model's answer)" }],
    finishReason: { unified: 'stop', raw: 'stop' },
    usage: { inputTokens: none, outputTokens: none },
    warnings: [],
  },
})
const dimLights = createTool({
  id: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  inputSchema: z.object({ room: z.string(), level: z.number().int() }),
  execute: async ({ room, level }) => `${room} is at ${level} %`,
})
const agent = new Agent({
  id: 'home',
  name: 'home',
  instructions: 'You look after a house.',
  model: large,
  tools: { dim_lights: dimLights },
  inputProcessors: [await needleProcessor({ threshold: 0 })],
})
for (const ask of ['dim the lights in the bedroom to 30 percent', 'why is the sky blue']) {
  const { steps, text } = await agent.generate(ask)
  const results = steps.flatMap((step) => step.toolResults.map(({ payload }) => payload.result))
  console.log(ask, '->', ...results, text)
}
