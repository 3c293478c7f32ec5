// LangChain: easy tool calls are answered locally, everything else by the agent's own model.
// npm install needle-rs langchain @langchain/core @langchain/openai zod; put 'openai:gpt-5-mini' in place of `large`.
import { AIMessage, createAgent, fakeModel, tool } from 'langchain'
import { needleMiddleware } from 'needle-rs/langchain'
import { z } from 'zod'

const answer = () => new AIMessage("(the large model's answer)")
const large = fakeModel().respond(answer).respond(answer)
const dimLights = tool(({ room, level }) => `${room} is at ${level} %`, {
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  schema: z.object({ room: z.string(), level: z.number().int() }),
})
const agent = createAgent({ model: large, tools: [dimLights], middleware: [await needleMiddleware({ threshold: 0 })] })
for (const ask of ['dim the lights in the bedroom to 30 percent', 'why is the sky blue']) {
  const { messages } = await agent.invoke({ messages: [{ role: 'user', content: ask }] })
  console.log(ask, '->', ...messages.slice(1).flatMap((message) => message.text || []))
}
