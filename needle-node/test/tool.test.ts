import assert from 'node:assert/strict'
import { test } from 'node:test'
import { extract, Model, tool } from 'needle-rs'
import { z } from 'zod'

const dim = tool({
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  parameters: z.object({
    room: z.string().describe('Room where the lights are'),
    level: z.number().int().min(0).max(100).describe('Brightness in percent'),
  }),
  execute: ({ room, level }) => `${room.toUpperCase()} at ${level.toFixed(1)}`,
})

test('Zod tools run with typed arguments', async () => {
  const tools = await (await Model.default()).compile([dim])
  const { decision, results } = await tools.run('dim the lights in the bedroom to 30 percent', { threshold: 0 })
  assert(decision.isCall)
  assert.deepEqual(results, ['BEDROOM at 30.0'])
  const handoff = await tools.run('dim the lights in the bedroom to 30 percent', { threshold: 1 })
  assert.deepEqual([handoff.decision.isCall, handoff.results], [false, []])
})

test('JSON Schema tools run, and what they throw is thrown', async () => {
  const broken = tool({
    name: 'dim_lights',
    description: 'Dim the lights in a room to a brightness level.',
    parameters: { type: 'object', properties: { room: { type: 'string' } }, required: ['room'] },
    execute: ({ room }) => Promise.reject(new Error(`no lamp in ${String(room)}`)),
  })
  const tools = await (await Model.default()).compile([broken])
  await assert.rejects(tools.run('dim the bedroom lights', { threshold: 0 }), /no lamp in bedroom/)
})

test('tools that cannot be run are refused before any call', async () => {
  const tools = await (await Model.default()).compile([dim.definition])
  await assert.rejects(tools.run('dim the lights in the bedroom to 30 percent', { threshold: 0 }), /was not made with tool/)
})

test('a library without JSON Schema is refused with a remedy', () => {
  const old = { '~standard': { version: 1 as const, vendor: 'old', validate: (value: unknown) => ({ value }) } }
  assert.throws(() => tool({ name: 'x', parameters: old, execute: () => 0 }), /this version of old writes no JSON Schema/)
})

test('what the library refuses is not called', async () => {
  const strict = tool({
    name: 'dim_lights',
    parameters: z.object({ room: z.string().refine((room) => room === 'attic', 'only the attic has a dimmer') }),
    execute: () => assert.fail('called'),
  })
  await assert.rejects(strict.call({ room: 'bedroom' }), /only the attic has a dimmer/)
})

test('objects are read out of text', async () => {
  const Reminder = z.object({ message: z.string().describe('What to be reminded of') })
  const options = { name: 'create_reminder', description: 'Remind the user of something.', threshold: 0 }
  const found = await extract('remind me to water the plants', Reminder, options)
  assert.equal(typeof found?.message, 'string')
  assert.equal(await extract('remind me to water the plants', Reminder, { ...options, threshold: 1 }), undefined)
})
