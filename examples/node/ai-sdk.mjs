// AI SDK 7: easy tool calls are answered locally, everything else by your own model.
// npm install needle-rs ai zod; put openai('gpt-5-mini') of @ai-sdk/openai in place of the mock.
import { generateText, stepCountIs, tool, wrapLanguageModel } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import { needleMiddleware } from 'needle-rs/ai-sdk'
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
const model = wrapLanguageModel({ model: large, middleware: await needleMiddleware({ threshold: 0 }) })
const dim_lights = tool({
  description: 'Dim the lights in a room to a brightness level.',
  inputSchema: z.object({ room: z.string(), level: z.number().int() }),
  execute: ({ room, level }) => `${room} is at ${level} %`,
})
for (const prompt of ['dim the lights in the bedroom to 30 percent', 'why is the sky blue']) {
  const { steps, text } = await generateText({ model, tools: { dim_lights }, prompt, stopWhen: stepCountIs(2) })
  const results = steps.flatMap((step) => step.toolResults.map((result) => result.output))
  console.log(prompt, '->', ...results, text)
}
