// npm install needle-rs && node quickstart.mjs
import { Model, tool } from 'needle-rs'

const dimLights = tool({
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  // A Zod schema does as well.
  parameters: {
    type: 'object',
    properties: {
      room: { type: 'string', description: 'Room where the lights are' },
      level: { type: 'integer', minimum: 0, maximum: 100, description: 'Brightness in percent' },
    },
    required: ['room', 'level'],
  },
  execute: ({ room, level }) => `${room} at ${level} %`,
})

const model = await Model.default()
const tools = await model.compile([dimLights])

const decision = await tools.decide('dim the lights in the bedroom to 30 percent')
console.log(decision.isCall ? decision.calls : `ask the large model: ${decision.reason}`, decision.confidence)

// What the calls return; threshold 0 makes every call that is valid.
const { results } = await tools.run('dim the lights in the bedroom to 30 percent', { threshold: 0 })
console.log(results.join())
