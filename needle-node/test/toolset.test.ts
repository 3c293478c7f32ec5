import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { type Decision, isNeedleError, Model, NeedleError, Reason } from 'needle-rs'
import { CODES } from '../dist/errors.js'
import native = require('../native.js')

const DIM = {
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  parameters: {
    type: 'object',
    properties: {
      room: { type: 'string', description: 'Room where the lights are' },
      level: { type: 'integer', minimum: 0, maximum: 100, description: 'Brightness in percent' },
    },
    required: ['room', 'level'],
  },
}
const QUERY = 'dim the lights in the bedroom to 30 percent'
const CALLS = [{ name: 'dim_lights', arguments: { room: 'bedroom', level: 30 } }]
const ANY = { threshold: 0 }

test('a decision is a call or a hand-off', async () => {
  const tools = await (await Model.default()).compile([DIM])
  assert.deepEqual(tools.names, ['dim_lights'])
  const call = await tools.decide(QUERY, ANY)
  assert(call.isCall)
  assert.deepEqual(call.calls, CALLS)
  assert.equal(call.reason, null)
  assert(call.confidence !== null && call.confidence > 0 && call.confidence <= 1)
  assert(call.timings.totalMs >= call.timings.encodeMs)
  const handoff = tools.decideSync(QUERY, { threshold: 1 })
  assert(!handoff.isCall)
  assert.equal(handoff.reason, Reason.LowConfidence)
  assert.deepEqual([handoff.calls, handoff.suppressedCalls], [[], CALLS])
})

test('the event loop goes on while the engine works', async () => {
  const tools = await (await Model.default()).compile([DIM])
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const queries = Array.from({ length: 200 }, () => QUERY)
  await tools.decideBatch(queries, ANY)
  clearInterval(timer)
  assert(ticks > 3, `${ticks} ticks`)
})

test('many decisions at once do not disturb each other', async () => {
  const tools = await (await Model.default()).compile([DIM])
  const levels = Array.from({ length: 64 }, (_, i) => i + 1)
  const alone = levels.map((level) => tools.decideSync(`dim the kitchen lights to ${level} percent`, ANY).calls)
  const together = await Promise.all(levels.map((level) => tools.decide(`dim the kitchen lights to ${level} percent`, ANY)))
  assert.deepEqual(together.map((decision: Decision) => decision.calls), alone)
})

test('an abort ends a decision with the reason of the signal', async () => {
  const tools = await (await Model.default()).compile([DIM])
  const aborted = AbortSignal.abort(new Error('changed my mind'))
  await assert.rejects(tools.decide(QUERY, { signal: aborted }), /changed my mind/)
  await assert.rejects(tools.stream(QUERY, { signal: aborted }).next(), /changed my mind/)
  const controller = new AbortController()
  const underWay = Array.from({ length: 8 }, () => tools.decide(QUERY, { signal: controller.signal }))
  controller.abort()
  const ends = await Promise.allSettled(underWay)
  const rejected = ends.filter((end) => end.status === 'rejected')
  assert(rejected.length > 0)
  assert(rejected.every((end) => (end.reason as Error).name === 'AbortError'))
  assert.deepEqual((await tools.decide(QUERY, ANY)).calls, CALLS)
})

test('a stream can be left, and its text is the answer', async () => {
  const tools = await (await Model.default()).compile([DIM])
  for await (const event of tools.stream(QUERY, ANY)) {
    assert.equal(event.type, 'text')
    break
  }
  let text = ''
  for await (const event of tools.stream(QUERY, ANY)) {
    if (event.type === 'text') text += event.text
    if (event.type === 'done') assert(event.decision.isCall)
  }
  assert.deepEqual(JSON.parse(text), CALLS)
})

test('bad input has an error that says what to do', async () => {
  const model = await Model.default()
  const tools = await model.compile([DIM])
  const cases: [() => Promise<unknown>, string, RegExp][] = [
    [() => model.compile([{ name: 'x', parameters: { type: 'int' } }]), 'tool', /tool x, at "\/parameters/],
    [() => Model.open('/does/not/exist'), 'io', /does\/not\/exist/],
    [() => tools.decide(QUERY, { threshold: 2 }), 'option', /option threshold: is 2; must be 0 to 1/],
    [() => tools.decide(QUERY, { treshold: 1 } as object), 'option', /unknown field `treshold`/],
    [() => tools.decide(QUERY, { deadlineMs: 0 }), 'deadline_exceeded', /deadline/],
    [() => model.compile([DIM], { threads: 0 }), 'option', /threads/],
  ]
  for (const [work, code, message] of cases) {
    await assert.rejects(work, (error) => {
      assert(error instanceof NeedleError && isNeedleError(error))
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    })
  }
  await assert.rejects(tools.decide(7 as unknown as string), /a query is a string, not number/)
  await assert.rejects(model.compile([7 as unknown as object] as never), /7 is no tool/)
  assert.throws(() => model.compileSync('{'), NeedleError)
})

test('integers keep all their digits', async () => {
  const tools = await (await Model.default()).compile([
    {
      name: 'get_order',
      description: 'Look up an order by its id.',
      // The least value keeps the model from ending the number early.
      parameters: { type: 'object', properties: { id: { type: 'integer', minimum: 9e15 } }, required: ['id'] },
    },
  ])
  const decision = await tools.decide('show me order number 9007199254740993', ANY)
  assert.deepEqual(decision.calls, [{ name: 'get_order', arguments: { id: 9007199254740993n } }])
})

test('lone surrogates, NUL and emoji are queries like others', async () => {
  const tools = await (await Model.default()).compile([DIM])
  for (const query of ['\ud800', '\0', '🎉', 'a'.repeat(100_000)]) {
    const decision = await tools.decide(query)
    assert(!decision.isCall)
  }
})

test("the lists of codes and reasons are the engine's", () => {
  assert.deepEqual(Object.values(Reason).sort(), native.reasons().sort())
  assert.deepEqual([...CODES].sort(), native.errorCodes().sort())
})

test('objects that are dropped leave no memory behind', async () => {
  const model = await Model.default()
  const cycle = async () => {
    for (let i = 0; i < 20; i++) await (await model.compile([DIM])).decide(QUERY)
    await sleep(1)
  }
  for (let i = 0; i < 5; i++) await cycle()
  const start = process.memoryUsage().rss
  for (let i = 0; i < 20; i++) await cycle()
  const grown = (process.memoryUsage().rss - start) / 2 ** 20
  assert(grown < 60, `${grown} MiB`)
})
