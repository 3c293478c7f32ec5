// OpenAI Agents SDK: easy tool calls are answered locally, everything else by your own model.
// npm install needle-rs @openai/agents zod; put new OpenAIResponsesModel(client, 'gpt-5-mini') in place of `large`.
import { Agent, Runner, tool, Usage } from '@openai/agents-core'
import { needleModel } from 'needle-rs/openai-agents'
import { z } from 'zod'

const text = "(the large model's answer)"
const large = {
  getResponse: async () => ({
    usage: new Usage(),
    output: [
      { type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text }] },
    ],
  }),
}
const dimLights = tool({
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  parameters: z.object({ room: z.string(), level: z.number().int() }),
  execute: async ({ room, level }) => `${room} is at ${level} %`,
})
const agent = new Agent({ name: 'home', tools: [dimLights], model: await needleModel(large, { threshold: 0 }) })
const runner = new Runner({ tracingDisabled: true })
for (const ask of ['dim the lights in the bedroom to 30 percent', 'why is the sky blue']) {
  const { newItems, finalOutput } = await runner.run(agent, ask)
  const results = newItems.filter((item) => item.type === 'tool_call_output_item').map((item) => item.output)
  console.log(ask, '->', ...results, finalOutput)
}
